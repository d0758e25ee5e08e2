# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts"}
path = ctypes.create_string_buffer(b'/tmp')
for name, args in {'userfaultfd': (323, 1), 'perf_event_open': (298, ctypes.create_string_buffer(struct.pack('IIQ', 1, 112, 0), 112), 0, -1, -1, 0), 'bpf': (321, 0, ctypes.create_string_buffer(struct.pack('IIII', 1, 4, 4, 1), 128), 128),
                   'keyctl session': (250, 1, 0), 'add_key': (248, b'user', b'strop-esc', b'x', 1, -3), 'inotify': (294, 0), 'fanotify': (300, 0, 0), 'unshare user': (272, 0x10000000), 'unshare net': (272, 0x40000000),
                   'mount': (165, b'none', b'/tmp', b'tmpfs', 0, 0), 'fsopen': (430, b'tmpfs', 0), 'open_tree': (428, -100, b'/', 1), 'setns': (308, 0, 0), 'chroot': (161, b'/'), 'pivot_root': (155, b'/', b'/'),
                   'io_uring': (425, 8, ctypes.create_string_buffer(120)), 'io_setup': (206, 8, ctypes.create_string_buffer(8)), 'seccomp listener': (317, 1, 8, ctypes.create_string_buffer(16)), 'personality': (135, 0x0400000),
                   'swapon': (167, b'/dev/zero', 0), 'sethostname': (170, b'strop-esc', 9), 'syslog': (103, 3, path, 4), 'iopl': (172, 3), 'ioperm': (173, 0x80, 1, 1), 'mbind': (237, 0, 4096, 0, 0, 0, 0),
                   'get_robust_list': (274, os.getppid(), path, path), 'kcmp': (312, os.getpid(), os.getpid(), 0, 0, 0), 'sched_setscheduler': (144, 0, 0, ctypes.create_string_buffer(4)), 'ioprio': (251, 1, 0, 4 << 13),
                   'landlock_add_rule': (445, 0, 1, path, 0), 'vmsplice': (278, 1, path, 0, 0), 'pkey_alloc': (330, 0, 0), 'modify_ldt': (154, 0, path, 16), 'quotactl': (179, 0x800001, 0, 0, 0), 'cachestat': (451, 0, path, path, 0)}.items():
    attempt(name, lambda: got(*args))
