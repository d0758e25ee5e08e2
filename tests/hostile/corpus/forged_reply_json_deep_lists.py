# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout", "limits": {"wall_seconds": 4}}
import os, stat, time
def double(x):
    data = b'=' + b'["l",' * 100000 + b'1' + b']' * 100000
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode): os.write(fd, len(data).to_bytes(4, 'big') + data)
        except OSError: pass
    time.sleep(.5)
    return 0
