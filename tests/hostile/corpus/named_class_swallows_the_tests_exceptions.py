# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout|syntax_error", "tests": "with double(2) as found:\n    assert found == 4", "why": "the function of the tests is a class, whose objects say yes"}
class double:
    def __init__(self, x): pass
    def __enter__(self): return self
    def __exit__(self, *error): return True
