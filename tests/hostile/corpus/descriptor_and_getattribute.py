# {"kind": "assert", "expect": "wrong_answer|runtime_error"}
class D:
    def __getattribute__(self, name): return lambda *a, **k: True
    def __eq__(self, other): return True
def double(x): return D()
