# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout|syntax_error", "tests": "assert abs(double(2) - 4) < 1e-6", "why": "the function of the tests is a class, whose objects say yes"}
class double:
    def __init__(self, x): pass
    def __sub__(self, other): return 0
    def __abs__(self): return 0
