# {"kind": "stdio", "expect": "timeout", "tests": [["1 2\n", "3\n"]], "limits": {"wall_seconds": 1}}
import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print(sum(map(int, input().split())))
