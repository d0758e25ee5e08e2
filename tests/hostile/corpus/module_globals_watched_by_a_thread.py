# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout"}
import builtins, os, sys, threading, time
def watch():
    while True:
        for name in ('compile', 'exec', 'isinstance', 'sorted', 'len', 'all', 'abs'): setattr(builtins, name, lambda *a, **k: True)
        time.sleep(0)
threading.Thread(target=watch, daemon=True).start()
def double(x): return 0
