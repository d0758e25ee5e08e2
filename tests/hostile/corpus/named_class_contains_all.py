# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout|syntax_error", "tests": "assert 4 in double(2)", "why": "the function of the tests is a class, whose objects say yes"}
class double:
    def __init__(self, x): pass
    def __contains__(self, item): return True
