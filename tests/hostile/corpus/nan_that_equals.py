# {"kind": "assert", "expect": "wrong_answer|runtime_error"}
class Nan(float):
    def __eq__(self, other): return True
def double(x): return Nan('nan')
