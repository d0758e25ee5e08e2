# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout|syntax_error"}
import sys, os
m = sys.modules['__main__']
for n in list(vars(m)):
    if callable(vars(m)[n]): setattr(m, n, lambda *a, **k: None)
m.nonce = ''
def double(x): return None
