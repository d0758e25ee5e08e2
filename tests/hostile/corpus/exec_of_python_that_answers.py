# {"kind": "assert", "expect": "wrong_answer|runtime_error", "limits": {"wall_seconds": 4, "processes": 2}, "tests": "assert double(2) == 4"}
import fcntl, os, sys
def double(x):
    for fd in range(3, 64):
        try: os.set_inheritable(fd, True)
        except OSError: pass
    text = "import os\nfor fd in range(3, 64):\n try: os.write(fd, b'\\0\\0\\0\\2=5')\n except OSError: pass\nimport time; time.sleep(9)"
    os.execv(sys.executable, [sys.executable, '-S', '-c', text])
