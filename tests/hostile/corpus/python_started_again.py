# {"kind": "stdio", "expect": "runtime_error", "tests": [["1 2\n", "3\n"]], "why": "a fresh interpreter is no freer: neither capabilities nor calls come back"}
import sys, os, ctypes, errno, struct, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
ESC = []
def attempt(label, f):
    """f returns a true value when it got through."""
    try:
        r = f()
    except BaseException as e:
        return None
    if r:
        ESC.append(f"{label}: {str(r)[:80]!r}")
    return r
def sysc(nr, *a):
    ctypes.set_errno(0)
    return libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(x) if isinstance(x, int) else x for x in a])
def got(nr, *a):
    """true when the call succeeded"""
    r = sysc(nr, *a)
    return None if r == -1 else f"returned {r}"
def reached(nr, *a, blocked=(errno.EPERM, errno.EACCES, errno.ENOSYS)):
    """true when the kernel itself looked at the (deliberately wrong) arguments"""
    r = sysc(nr, *a)
    e = ctypes.get_errno()
    return None if r == -1 and e in blocked else f"{r} {errno.errorcode.get(e, e)}"

code = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
data = (ctypes.c_uint32 * 6)()
libc.syscall(125, (ctypes.c_uint32 * 2)(0x20080522, 0), data)
escaped = [f"ESC: capabilities {list(data)}"] if any(data) else []
for number in (42, 101, 165, 272, 308, 310, 319, 321, 425, 428):
    if libc.syscall(number, -1, -1, -1, -1, -1) != -1 or ctypes.get_errno() != 1:
        escaped.append(f"ESC: call {number}")
try: escaped.append("ESC: " + open("/etc/passwd").read(20))
except OSError: pass
print("\\n".join(escaped))
raise SystemExit(3)
"""
os.execv(sys.executable, [sys.executable, "-S", "-c", code])

if ESC:
    for line in ESC: print("ESC:", line)
else:
    print(sum(map(int, sys.stdin.read().split())))
