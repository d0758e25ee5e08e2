# {"kind": "stdio", "expect": "accepted", "why": "a usual idiom of contest programs"}
import resource, sys
resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sys.setrecursionlimit(10**6)
def f(n): return 0 if n == 0 else 1 + f(n - 1)
assert f(50000) == 50000
print(sum(map(int, input().split())))
