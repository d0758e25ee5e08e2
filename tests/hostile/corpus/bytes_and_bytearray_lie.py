# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["data"], "tests": "assert data(1) == b'yes'"}
class B(bytearray):
    def __eq__(self, other): return True
def data(x): return B(b'no')
