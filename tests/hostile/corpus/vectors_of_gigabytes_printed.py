# {"kind": "stdio", "expect": "runtime_error", "tests": [["1 2\n", "3\n"]], "why": "one call with a gigabyte"}
import os
chunk = bytes(1 << 20)
while True: os.writev(1, [chunk] * 1000)
