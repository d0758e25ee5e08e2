# {"kind": "stdio", "expect": "accepted", "limits": {"processes": 4}, "tests": [["1 2\n", "3\n"]]}
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

for flag in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x8000, 0x200000000, 0x1000):
    pidfd = ctypes.c_int()
    args = struct.pack("11Q", flag, ctypes.addressof(pidfd), 0, 0, 17, 0, 0, 0, 0, 0, 0)
    me = os.getpid()
    r = sysc(435, ctypes.create_string_buffer(args, 88), 88)
    if r == 0 and os.getpid() != me: os._exit(0)
    if r > 0: ESC.append(f"clone3 {flag:#x}")

if ESC:
    for line in ESC: print("ESC:", line)
else:
    print(sum(map(int, sys.stdin.read().split())))
