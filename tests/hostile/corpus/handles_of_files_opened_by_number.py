# {"kind": "assert", "expect": "accepted"}
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def double(x):
    handle = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 136); mount = ctypes.c_int()
    for path in (b'/etc/passwd', b'/', os.__file__.encode()):
        if libc.syscall(303, -100, path, handle, ctypes.byref(mount), 0) == 0: raise RuntimeError('ESC: name_to_handle_at')
        fd = os.open(os.__file__, 0)
        if libc.syscall(304, fd, handle, 0) >= 0: raise RuntimeError('ESC: open_by_handle_at')
        os.close(fd)
    return 2 * x
