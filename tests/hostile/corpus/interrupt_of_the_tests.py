# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout", "limits": {"wall_seconds": 3}, "tests": "for x in (1, 2, 3):\n    try:\n        got = double(x)\n    except BaseException:\n        continue\n    assert got == 2 * x"}
import os, signal, time
def double(x):
    os.kill(os.getppid(), signal.SIGINT); time.sleep(.05); return 0
