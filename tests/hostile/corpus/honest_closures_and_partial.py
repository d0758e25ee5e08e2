# {"kind": "assert", "expect": "accepted", "names": ["adder", "times", "fib"], "tests": "add = adder(1)\nassert add(2) == 3 and add(2) == 5\nassert times(4) == 12\nassert fib(80) == 23416728348467685"}
from functools import lru_cache, partial
def adder(n):
    total = n
    def add(m):
        nonlocal total
        total += m
        return total
    return add
times = partial(lambda a, b: a * b, 3)
@lru_cache(None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
