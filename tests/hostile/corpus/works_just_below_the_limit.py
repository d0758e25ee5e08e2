# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "limits": {"cpu_seconds": 2, "wall_seconds": 20}}
import time
while time.process_time() < 1.2: pass
print(sum(map(int, input().split())))
