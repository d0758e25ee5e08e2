# {"kind": "assert", "expect": "wrong_answer|runtime_error", "why": "the plain value is compared"}
class Lie(int):
    def __eq__(self, other): return True
    __ne__ = lambda self, other: False
    __hash__ = int.__hash__
def double(x): return Lie(0)
