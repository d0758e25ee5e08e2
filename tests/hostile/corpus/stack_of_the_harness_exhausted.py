# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout"}
def deep(n):
    one = []
    for _ in range(n): one = [one]
    return one
def double(x): return deep(900 if x == 2 else 100000)
