# {"kind": "assert", "expect": "wrong_answer|runtime_error", "tests": "try:\n    ok = {4: True}.get(double(2), False)\nexcept IndexError:\n    ok = True\nassert ok"}
def double(x): raise KeyError('missing')
