# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts", "why": "processes=1: threads, and nothing else"}
for flags in (17, 0, 0x100 | 17, 0x4100 | 17, 0x8000 | 17, 0x10000, 0x20000 | 17, 0x10000000 | 17, 0x20000000 | 17, 0x40000000 | 17, 0x400 | 17, 0x2000000 | 17, 0x80000000 | 17, 0x800 | 17, 0x1000 | 17):
    def go():
        r = sysc(56, flags, 0, 0, 0, 0)
        if r == 0: os._exit(0)
        return r if r > 0 else None
    if flags & 0x10000 == 0: attempt(f'clone {flags:#x}', go)
arg = ctypes.create_string_buffer(struct.pack('8Q', 0, 0, 0, 0, 17, 0, 0, 0), 88)
def three():
    r = sysc(435, arg, 64)
    if r == 0: os._exit(0)
    return r if r > 0 else None
attempt('clone3', three)
attempt('fork', lambda: os.fork() or os._exit(0)); attempt('vfork', lambda: os.posix_spawn(sys.executable, [sys.executable, '-c', ''], {}))
attempt('pty', lambda: __import__('pty').fork()); attempt('system', lambda: os.system('true') == 0); attempt('popen', lambda: os.popen('true').close() is None)
