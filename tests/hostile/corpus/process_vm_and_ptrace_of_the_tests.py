# {"kind": "assert", "expect": "accepted"}
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True); libc.syscall.restype = ctypes.c_long
def double(x):
    p = os.getppid()
    buffer = ctypes.create_string_buffer(4096)
    iov = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), 4096)
    calls = {'process_vm_readv': (310, p, iov, 1, iov, 1, 0), 'process_vm_writev': (311, p, iov, 1, iov, 1, 0),
             'ptrace attach': (101, 16, p, 0, 0), 'ptrace seize': (101, 0x4206, p, 0, 0), 'ptrace traceme': (101, 0, 0, 0, 0),
             'pidfd_open': (434, p, 0), 'kcmp': (312, p, os.getpid(), 0, 0, 0), 'process_madvise': (440, 3, iov, 1, 4, 0)}
    for name, call in calls.items():
        if libc.syscall(*call) >= 0: raise RuntimeError('ESC: ' + name)
    for fd in range(3, 64):
        if libc.syscall(438, fd, 0, 0) >= 0: raise RuntimeError('ESC: pidfd_getfd')
    return 2 * x
