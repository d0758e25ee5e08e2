# {"kind": "assert", "expect": "wrong_answer|runtime_error", "tests": "assert double(2) == 4\nassert double(7) == 14", "why": "guesses in a row: the first is not right"}
import os, stat
def flood():
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                for n in range(50): os.write(fd, (1 + len(str(n))).to_bytes(4, 'big') + b'=' + str(n).encode())
        except OSError: pass
flood()
def double(x): return None
