# {"kind": "stdio", "expect": "accepted|runtime_error|timeout", "tests": [["1 2\n", "3\n"]], "limits": {"processes": 16, "wall_seconds": 4}, "why": "stopped, deaf, without descriptors, in sessions of their own"}
import os, signal, time
for n in range(6):
    if os.fork() == 0:
        os.setsid()
        for s in range(1, 65):
            try: signal.signal(s, signal.SIG_IGN)
            except (OSError, ValueError): pass
        for fd in range(64):
            try: os.close(fd)
            except OSError: pass
        if os.fork() == 0: os.kill(os.getpid(), signal.SIGSTOP)
        while True: time.sleep(1)
time.sleep(.2)
print(sum(map(int, input().split())))
