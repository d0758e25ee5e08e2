# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "why": "which pages of the standard library others have used, and taking them out of the cache"}
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
f = os.open(os.path.dirname(os.__file__) + "/this.py", os.O_RDONLY)
m = mmap.mmap(f, 0, mmap.MAP_SHARED, mmap.PROT_READ)
libc.mmap.restype = ctypes.c_void_p
a = libc.mmap(None, ctypes.c_size_t(4096), 1, 1, f, ctypes.c_long(0))
attempt("mincore", lambda: got(27, a, 4096, ctypes.create_string_buffer(8)))
attempt("fadvise DONTNEED", lambda: got(221, f, 0, 0, 4))
attempt("readahead", lambda: got(187, f, 0, 4096))
attempt("cachestat", lambda: reached(451, f, ctypes.create_string_buffer(16), ctypes.create_string_buffer(64), 0))
attempt("msync", lambda: got(26, a, 4096, 4))
for name, number in (("COLD", 20), ("PAGEOUT", 21), ("HWPOISON", 100), ("SOFT_OFFLINE", 101), ("REMOVE", 9), ("MERGEABLE", 12), ("COLLAPSE", 25), ("POPULATE_WRITE", 23)):
    attempt("MADV_" + name, lambda: reached(28, a, 4096, number))

if ESC:
    for line in ESC: print("ESC:", line)
else:
    print(sum(map(int, sys.stdin.read().split())))
