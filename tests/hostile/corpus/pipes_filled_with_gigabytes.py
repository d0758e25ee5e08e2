# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts", "why": "the size of a pipe cannot be raised, and there are few of them"}
import fcntl
held = []
total = 0
try:
    while True:
        r, w = os.pipe(); held += [r, w]
        for size in (1 << 20, 1 << 24, 1 << 28):
            try: fcntl.fcntl(w, 1031, size)
            except OSError: pass
        os.set_blocking(w, False)
        try:
            while True: total += os.write(w, bytes(1 << 16))
        except BlockingIOError: pass
except OSError: pass
attempt('bytes in pipes', lambda: total > 16 << 20 and total)
for fd in held: os.close(fd)
