# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "why": "what prctl and arch_prctl set of a process, and personality", "within": "attempts"}
PR = dict(SET_PDEATHSIG=1, SET_DUMPABLE=4, SET_KEEPCAPS=8, SET_TIMING=14, SET_SECCOMP=22, CAPBSET_DROP=24, SET_TSC=26, SET_SECUREBITS=28,
    SET_TIMERSLACK=29, TASK_PERF_EVENTS_DISABLE=31, MCE_KILL=33, SET_MM=35, SET_CHILD_SUBREAPER=36, SET_NO_NEW_PRIVS=38, SET_THP_DISABLE=41,
    CAP_AMBIENT=47, SET_SPECULATION_CTRL=53, SET_IO_FLUSHER=57, SET_SYSCALL_USER_DISPATCH=59, SCHED_CORE=62, SET_MDWE=65, SET_MEMORY_MERGE=67, SET_PTRACER=0x59616d61, SET_VMA=0x53564d41)
for name, number in PR.items():
    attempt("PR_" + name, lambda: reached(157, number, 1, 0, 0, 0))
for name, number in dict(MAP_VDSO_32=0x2002, SET_CPUID=0x1012, REQ_XCOMP_PERM=0x1023, SHSTK_ENABLE=0x5001, SET_GS=0x1001).items():
    attempt("ARCH_" + name, lambda: reached(158, number, -1))
