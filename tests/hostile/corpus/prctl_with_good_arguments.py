# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts"}
import signal
for name, args in {'PDEATHSIG': (1, 9), 'DUMPABLE': (4, 1), 'PTRACER any': (0x59616d61, -1), 'SUBREAPER': (36, 1), 'KEEPCAPS': (8, 1),
                   'SECUREBITS': (28, 0), 'TIMERSLACK': (29, 1), 'THP_DISABLE': (41, 1), 'SECCOMP off': (22, 0), 'MM_ARG_START': (35, 8, 1),
                   'SET_IO_FLUSHER': (57, 1), 'SCHED_CORE create': (62, 1, 0, 1, 0), 'VMA name': (0x53564d41, 0, 0x1000, 0x1000, 0)}.items():
    attempt('PR_SET_' + name, lambda: got(157, *args, *(0,) * (5 - len(args))))
