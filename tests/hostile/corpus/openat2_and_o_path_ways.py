# {"kind": "stdio", "expect": "accepted", "within": "attempts"}
O_PATH = 0o10000000
for p in ('/etc/passwd', '@DIR@/canary/secret.txt', '/proc/self/environ', '/proc/self/mem', '/proc/1/environ', '/dev/mem', '/dev/tty', '/dev/kmsg', '/dev/shm', '/tmp', '/sys/kernel', '/dev/ptmx', '/dev/pts/0', '/dev/fuse', '/dev/kvm', '/dev/zero'):
    def one(p=p):
        fd = os.open(p, O_PATH)
        try: return os.read(fd, 10)
        except OSError: pass
        for q in (f'/proc/self/fd/{fd}', f'/dev/fd/{fd}', f'/proc/thread-self/fd/{fd}', f'/proc/self/task/{os.getpid()}/fd/{fd}'):
            try: return open(q, 'rb').read(10) or 'empty'
            except OSError: pass
        try: return os.listdir(fd)
        except OSError: pass
    attempt('o_path ' + p, one)
    def two(p=p):
        how = struct.pack('QQQ', 0, 0, 0)
        fd = sysc(437, -100, p.encode(), how, 24)
        return fd >= 0 and (os.read(fd, 10) or 'opened')
    attempt('openat2 ' + p, two)
    def three(p=p):
        dfd = os.open(os.path.dirname(p), O_PATH)
        for resolve in (0, 1, 2, 4, 8, 16):
            how = struct.pack('QQQ', 0, 0, resolve)
            fd = sysc(437, dfd, os.path.basename(p).encode(), how, 24)
            if fd >= 0: return os.read(fd, 10) or 'opened'
        for flags in (0, 0o2000000, os.O_NONBLOCK, os.O_NOFOLLOW, os.O_NOATIME):
            try: return os.read(os.open(os.path.basename(p), flags, dir_fd=dfd), 10) or 'opened'
            except OSError: pass
    attempt('openat ' + p, three)
