# {"kind": "assert", "expect": "wrong_answer|runtime_error", "tests": "got = double(2)\nassert got == 4 and 4 == got and not got != 4 and got in (4,) and hash(got) == hash(4)"}
class Yes:
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __and__ = __rand__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __hash__ = lambda self: 4
    __class__ = int
    def __getattr__(self, name): return lambda *a: True
def double(x): return Yes()
