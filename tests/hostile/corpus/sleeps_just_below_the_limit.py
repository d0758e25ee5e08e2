# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "limits": {"wall_seconds": 6}}
import time
time.sleep(1.2)
print(sum(map(int, input().split())))
