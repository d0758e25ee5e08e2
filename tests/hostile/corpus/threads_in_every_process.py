# {"kind": "stdio", "expect": "accepted|runtime_error|timeout", "tests": [["1 2\n", "3\n"]], "limits": {"processes": 8, "wall_seconds": 4}, "why": "eight processes with a thousand threads each"}
import os, threading, time
threading.stack_size(32768)
for _ in range(3): os.fork()
try:
    for _ in range(1000): threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
except (RuntimeError, MemoryError): pass
print(sum(map(int, input().split())) if os.getpid() else 0)
