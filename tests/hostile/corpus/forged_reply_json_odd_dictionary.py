# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout", "limits": {"wall_seconds": 3}}
import os, stat, time
def pipes():
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode): yield fd
        except OSError: pass
def double(x):
    data = '=["d", 1]'.encode()
    for fd in list(pipes()):
        try: os.write(fd, len(data).to_bytes(4, 'big') + data)
        except OSError: pass
    time.sleep(.2)
    return 0
