# {"kind": "assert", "expect": "wrong_answer|runtime_error", "tests": "assert all(map(lambda x: double(x) == 2 * x, [1, 2, 3]))\nassert list(map(double, [1, 2])) in ([2, 4], [])"}
class Done(StopIteration): pass
def double(x): raise Done
