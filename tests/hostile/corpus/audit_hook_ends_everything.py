# {"kind": "assert", "expect": "wrong_answer|runtime_error"}
import os, sys
def double(x):
    sys.addaudithook(lambda event, args: os._exit(0))
    open('x')
    return 4
