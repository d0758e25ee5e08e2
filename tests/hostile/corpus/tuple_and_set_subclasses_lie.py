# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["pair", "bag"], "tests": "assert pair(1) == (1, 2) and 3 in bag(1)"}
class T(tuple):
    def __eq__(self, other): return True
    def __iter__(self): return iter((1, 2))
    def __getitem__(self, i): return i + 1
class S(frozenset):
    def __eq__(self, other): return True
    def __contains__(self, x): return True
def pair(x): return T((0,))
def bag(x): return S()
