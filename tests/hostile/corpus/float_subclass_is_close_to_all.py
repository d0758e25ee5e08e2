# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["half"], "tests": "assert abs(half(3) - 1.5) < 1e-6"}
class Lie(float):
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    def __abs__(self): return 0.0
    def __lt__(self, other): return True
    def __le__(self, other): return True
    def __eq__(self, other): return True
def half(x): return Lie(99)
