# {"kind": "assert", "expect": "accepted", "tests": "assert double(1000000) == list(range(1000000))"}
def double(n): return list(range(n))
