# {"kind": "stdio", "expect": "accepted", "why": "threads that still compute when the program ends are ended by the C library"}
import threading
def work():
    n = 0
    while True: n += 1
for _ in range(8): threading.Thread(target=work, daemon=True).start()
print(sum(map(int, input().split())))
