# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "30003\n"]]}
import sys, threading
sys.setrecursionlimit(200000); threading.stack_size(64 << 20)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
def main(): print(sum(map(int, input().split())) + depth(30000))
t = threading.Thread(target=main); t.start(); t.join()
