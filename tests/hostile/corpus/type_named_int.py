# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["kind"], "tests": "assert kind(1) is int"}
Fake = type('int', (int,), {'__eq__': lambda a, b: True, '__hash__': int.__hash__})
Fake.__module__ = 'builtins'
def kind(x): return Fake
