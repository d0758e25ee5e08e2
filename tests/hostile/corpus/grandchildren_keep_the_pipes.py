# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout|syntax_error", "limits": {"processes": 8, "wall_seconds": 3}}
import os, time
for _ in range(5):
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0: time.sleep(60)
            time.sleep(60)
    except OSError: break
def double(x): os._exit(0)
