# {"kind": "stdio", "expect": "timeout|runtime_error", "tests": [["1 2\n", "3\n"]], "limits": {"processes": 32, "wall_seconds": 1.5}}
import os, time
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError: time.sleep(.001)
