# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts", "why": "what is open may not be opened anew for more"}
for n in (0, 1, 2):
    for path in (f'/proc/self/fd/{n}', f'/proc/{os.getpid()}/fd/{n}', f'/dev/fd/{n}', f'/proc/thread-self/fd/{n}'):
        def go():
            fd = os.open(path, os.O_RDWR)
            return os.pwrite(fd, b'x', 0) if n == 0 else None
        attempt(path, go)
for path in ('/proc/self/root/etc/passwd', '/proc/self/exe', '/proc/self/mem', '/proc/self/clear_refs', '/proc/self/oom_score_adj', '/proc/self/coredump_filter', '/proc/self/comm', '/proc/self/attr/current',
             '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/self/ns/net', '/proc/self/pagemap', '/proc/kcore', '/proc/keys', '/sys/kernel', '/sys/fs/cgroup', '/proc/self/timerslack_ns', '/proc/self/uid_map'):
    attempt('write ' + path, lambda: os.open(path, os.O_WRONLY)); 
    if path != '/proc/self/exe': attempt('read ' + path, lambda: os.read(os.open(path, os.O_RDONLY), 10))
