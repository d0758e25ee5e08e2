# {"kind": "stdio", "expect": "accepted", "why": "as deep as in a script of its own"}
def f(n): return 0 if n == 0 else 1 + f(n - 1)
f(998)
print(sum(map(int, input().split())))
