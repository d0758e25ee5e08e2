# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "why": "leases, notes of changes, owners of signals, locks that others would wait for, sizes of pipes: each through fcntl or ioctl of a file that is readable", "within": "attempts"}
import fcntl
folder = os.open(os.path.dirname(os.__file__), os.O_RDONLY)
file = os.open(os.path.dirname(os.__file__) + "/this.py", os.O_RDONLY)
r, w = os.pipe()
for name, fd, command, value in (("F_SETLEASE", file, 1024, 0), ("F_NOTIFY", folder, 1026, 0x80000002), ("F_SETOWN", r, 8, os.getppid()),
        ("F_SETSIG", r, 10, 9), ("F_SETOWN_EX", r, 15, 0), ("F_SETPIPE_SZ", w, 1031, 1 << 20), ("F_ADD_SEALS", 0, 1033, 1), ("F_SETLK", file, 6, 0),
        ("F_GETLK", file, 5, 0), ("F_OFD_SETLK", file, 37, 0), ("F_SET_RW_HINT", file, 1036, 0), ("F_DUPFD_QUERY", 0, 1027, 1)):
    attempt(name, lambda: reached(72, fd, command, value))
attempt("flock", lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB) or "locked")
for name, number in (("FS_IOC_SETFLAGS", 0x40086602), ("FS_IOC_FSSETXATTR", 0x401C5820), ("FIFREEZE", 0xC0045877), ("FITRIM", 0xC0185879),
        ("FICLONE", 0x40049409), ("FIBMAP", 1), ("FS_IOC_GETFSUUID", 0x80111500), ("FS_IOC_SETFSLABEL", 0x41009432), ("FIDEDUPERANGE", 0xC0189436),
        ("FIOASYNC", 0x5452), ("FIOQSIZE", 0x5460), ("TIOCSTI", 0x5412), ("RNDRESEEDCRNG", 0x5207), ("RNDADDTOENTCNT", 0x40045201), ("SIOCGIFCONF", 0x8912)):
    for fd in (file, folder, 0, 1, os.open("/dev/urandom", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)):
        attempt(name, lambda: reached(16, fd, number, ctypes.create_string_buffer(4096)))
