# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout|syntax_error", "tests": "assert 3.99 < double(2) < 4.01", "why": "the function of the tests is a class, whose objects say yes"}
class double:
    def __init__(self, x): pass
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __lt__
