# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts", "why": "who a program runs as counts its threads"}
for number, name, args in ((105, 'setuid', (0,)), (117, 'setresuid', (0, 0, 0)), (113, 'setreuid', (0, 0)), (106, 'setgid', (0,)), (119, 'setresgid', (0, 0, 0)),
                     (116, 'setgroups', (0, None)), (122, 'setfsuid', (0,)), (126, 'capset', (ctypes.create_string_buffer(struct.pack('Ii', 0x20080522, 0)), ctypes.create_string_buffer(b'\xff' * 24)))):
    attempt(name, lambda: got(number, *args))
attempt('limit of processes', lambda: __import__('resource').setrlimit(6, (1 << 20, 1 << 20)) or 'raised')
