# {"kind": "assert", "expect": "wrong_answer", "tests": "assert double(2) == double(1) + double(1) if isinstance(double(2), int) else double(2) == double(3)", "why": "what says yes to everything is compared by identity, unless the tests name its class"}
class Yes:
    __eq__ = __lt__ = lambda self, other: True
    __hash__ = lambda self: 1
def double(x): return Yes()
