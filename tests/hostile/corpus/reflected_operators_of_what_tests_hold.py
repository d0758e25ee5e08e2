# {"kind": "assert", "expect": "wrong_answer|runtime_error", "tests": "assert 0 + double(2) == 4\nassert double([1]) == [1, 1]"}
class R:
    def __radd__(self, other): return 4
    def __rsub__(self, other): return 0
    def __rmul__(self, other): return 4
    def __float__(self): return 4.0
    def __int__(self): return 4
    def __complex__(self): return 4j
    def __round__(self, n=0): return 4
    def __format__(self, spec): return '4'
def double(x): return R()
