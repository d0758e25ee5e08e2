# {"kind": "stdio", "expect": "accepted", "limits": {"processes": 4}, "tests": [["1 2\n", "3\n"]], "within": "attempts"}
for flag in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x8000, 0x200000000, 0x1000):
    pidfd = ctypes.c_int()
    args = struct.pack("11Q", flag, ctypes.addressof(pidfd), 0, 0, 17, 0, 0, 0, 0, 0, 0)
    me = os.getpid()
    r = sysc(435, ctypes.create_string_buffer(args, 88), 88)
    if r == 0 and os.getpid() != me: os._exit(0)
    if r > 0: ESC.append(f"clone3 {flag:#x}")
