# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]]}
import queue, threading
from concurrent.futures import ThreadPoolExecutor
numbers = list(map(int, input().split())); q = queue.Queue()
def work():
    while (one := q.get()) is not None: found.append(one); q.task_done()
found = []; threads = [threading.Thread(target=work) for _ in range(20)]
for t in threads: t.start()
for n in numbers: q.put(n)
for _ in threads: q.put(None)
for t in threads: t.join()
with ThreadPoolExecutor(32) as pool: print(sum(pool.map(int, found)))
