# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts", "why": "a lock on a file that all programs read is a word to the next one"}
import fcntl
f = os.open(os.__file__, os.O_RDONLY)
attempt('flock', lambda: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB) or 'locked'); attempt('lockf', lambda: fcntl.lockf(f, fcntl.LOCK_SH | fcntl.LOCK_NB) or 'locked')
attempt('lease', lambda: fcntl.fcntl(f, 1024, 0) + 1); attempt('notify', lambda: fcntl.fcntl(os.open('.', 0), 1026, 0x80000004) + 1); attempt('owner', lambda: fcntl.fcntl(f, 8, os.getppid()) + 1)
attempt('signal of io', lambda: fcntl.fcntl(f, 10, 9) + 1); attempt('async', lambda: fcntl.fcntl(0, 4, 0o20000) and None); attempt('hint', lambda: fcntl.fcntl(f, 1036, ctypes.create_string_buffer(struct.pack('Q', 5), 8)) and 'hinted')
attempt('advice', lambda: os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED) or 'dropped'); attempt('readahead', lambda: got(187, f, 0, 1 << 20))
