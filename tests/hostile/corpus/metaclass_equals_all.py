# {"kind": "assert", "expect": "wrong_answer|runtime_error", "why": "a class is no builtin type and stays a handle"}
class Meta(type):
    def __eq__(cls, other): return True
    def __hash__(cls): return 0
    def __instancecheck__(cls, one): return True
class Lie(metaclass=Meta): pass
def double(x): return Lie
