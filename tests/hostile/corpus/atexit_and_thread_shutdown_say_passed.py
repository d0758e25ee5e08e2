# {"kind": "assert", "expect": "wrong_answer|runtime_error"}
import atexit, os, sys, threading
def say(*a):
    for fd in range(64):
        try: os.write(fd, b'passed\n')
        except OSError: pass
    os._exit(0)
atexit.register(say); threading._shutdown = say; sys.exitfunc = say; sys.excepthook = say; sys.unraisablehook = say
threading.excepthook = say
def double(x): sys.exit(0)
