# {"kind": "assert", "expect": "runtime_error|wrong_answer|timeout", "names": ["f"], "tests": "def g(x): return f(g, x)\nassert f(g, 1) == 4"}
def f(g, x): return g(x)
