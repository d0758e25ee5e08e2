# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts", "why": "the filter holds for calls that no library makes"}
import mmap
def run(code):
    m = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    m.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()
def call(number, a=0, b=0, c=0):
    return run(b'\x48\xc7\xc0' + struct.pack('<i', number) + b'\x48\xc7\xc7' + struct.pack('<i', a) + b'\x48\xc7\xc6' + struct.pack('<i', b)
               + b'\x48\xc7\xc2' + struct.pack('<i', c) + b'\x0f\x05\xc3')
for name, args in {'socket udp': (41, 2, 2, 0), 'socket netlink': (41, 16, 3, 0), 'fork': (57,), 'vfork': (58,), 'ptrace': (101, 0), 'unshare': (272, 0x10000000),
                   'memfd': (319, 0, 0), 'io_uring': (425, 1, 0), 'sched_setaffinity': (203, 0, 8, 0), 'clone': (56, 17)}.items():
    attempt(name, lambda: (r := call(*args)) >= 0 and r)
