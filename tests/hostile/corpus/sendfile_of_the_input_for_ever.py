# {"kind": "stdio", "expect": "runtime_error|timeout", "tests": [[{"repeat": ["12345678", 200000]}, "3\n"]], "limits": {"wall_seconds": 6}}
import os
while True: os.sendfile(1, 0, 0, 1 << 30)
