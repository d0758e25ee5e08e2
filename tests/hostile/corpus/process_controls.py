# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "why": "what prctl and arch_prctl set of a process, and personality"}
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

PR = dict(SET_PDEATHSIG=1, SET_DUMPABLE=4, SET_KEEPCAPS=8, SET_TIMING=14, SET_SECCOMP=22, CAPBSET_DROP=24, SET_TSC=26, SET_SECUREBITS=28,
    SET_TIMERSLACK=29, TASK_PERF_EVENTS_DISABLE=31, MCE_KILL=33, SET_MM=35, SET_CHILD_SUBREAPER=36, SET_NO_NEW_PRIVS=38, SET_THP_DISABLE=41,
    CAP_AMBIENT=47, SET_SPECULATION_CTRL=53, SET_IO_FLUSHER=57, SET_SYSCALL_USER_DISPATCH=59, SCHED_CORE=62, SET_MDWE=65, SET_MEMORY_MERGE=67, SET_PTRACER=0x59616d61, SET_VMA=0x53564d41)
for name, number in PR.items():
    attempt("PR_" + name, lambda: reached(157, number, 1, 0, 0, 0))
for name, number in dict(MAP_VDSO_32=0x2002, SET_CPUID=0x1012, REQ_XCOMP_PERM=0x1023, SHSTK_ENABLE=0x5001, SET_GS=0x1001).items():
    attempt("ARCH_" + name, lambda: reached(158, number, -1))

if ESC:
    for line in ESC: print("ESC:", line)
else:
    print(sum(map(int, sys.stdin.read().split())))
