# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["name"], "tests": "assert name(1) == 'ab'\nassert not name(2) != 'ab'"}
class Lie(str):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __len__(self): return 2
    __hash__ = str.__hash__
def name(x): return Lie("no")
