# {"kind": "assert", "expect": "wrong_answer|runtime_error"}
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return hash(4)
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __instancecheck__ = lambda self, other: True
    __class__ = property(lambda self: int)
    def __bool__(self): return True
    def __index__(self): return 4
    def __reduce_ex__(self, protocol): return int, (4,)
def double(x): return Any()
