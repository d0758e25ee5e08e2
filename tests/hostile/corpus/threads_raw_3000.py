# {"kind": "stdio", "expect": "accepted|runtime_error|timeout", "documented": "threads are not counted", "tests": [["1 2\n", "3\n"]], "limits": {"wall_seconds": 4}}
import _thread, threading
_thread.stack_size(32768)
lock = _thread.allocate_lock(); lock.acquire()
n = 0
try:
    for _ in range(3000): _thread.start_new_thread(lock.acquire, ()); n += 1
except RuntimeError: pass
print(sum(map(int, input().split())))
