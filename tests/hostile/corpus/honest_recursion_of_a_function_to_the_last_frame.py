# {"kind": "assert", "expect": "accepted", "names": ["f"], "tests": "assert f(998) == 998", "why": "as deep as in a script of its own"}
def f(n): return 0 if n == 0 else 1 + f(n - 1)
