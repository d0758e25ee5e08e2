# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"], ["1 2\n", "3\n"]], "why": "the input is a file in memory: memory that counts for nobody, were it to grow"}
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

import mmap
attempt("write", lambda: os.write(0, b"x" * 4096))
attempt("pwrite", lambda: os.pwrite(0, b"x" * 4096, 1 << 30))
attempt("truncate", lambda: os.ftruncate(0, 1 << 30) or 1)
attempt("fallocate", lambda: got(285, 0, 0, 0, 1 << 30))
attempt("shared mapping", lambda: mmap.mmap(0, 4, mmap.MAP_SHARED, mmap.PROT_WRITE | mmap.PROT_READ).write(b"9"))
attempt("reopened", lambda: os.write(os.open("/proc/self/fd/0", os.O_RDWR), b"9"))
attempt("chmod", lambda: os.fchmod(0, 0o777) or 1)
attempt("xattr", lambda: os.setxattr(0, "user.x", b"1") or 1)
os.lseek(0, 0, 0)

if ESC:
    for line in ESC: print("ESC:", line)
else:
    print(sum(map(int, sys.stdin.read().split())))
