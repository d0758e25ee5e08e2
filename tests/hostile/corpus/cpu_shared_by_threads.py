# {"kind": "stdio", "expect": "timeout|runtime_error", "tests": [["1 2\n", "3\n"]], "limits": {"cpu_seconds": 1, "wall_seconds": 8}}
import threading
def work():
    while True: pass
for _ in range(8): threading.Thread(target=work).start()
