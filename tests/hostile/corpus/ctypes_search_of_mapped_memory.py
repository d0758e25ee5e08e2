# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["secret"], "tests": "assert secret() == 'needle-8314159'", "limits": {"cpu_seconds": 8, "wall_seconds": 20}}
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
r, w = os.pipe()
KEY = b'needle' + b'-8'
def pages():
    top = libc.sbrk(0)
    yield from range(top - (24 << 20) & ~4095, top, 4096)
    for o in (object(), sys.modules, b'x' * 600000, [0] * 100000, ctypes.create_string_buffer(1 << 20)):
        a = id(o) & ~4095
        yield from range(a - (6 << 20), a + (6 << 20), 4096)
def secret():
    for a in pages():
        if libc.write(w, ctypes.c_void_p(a), ctypes.c_size_t(4096)) == 4096:
            data = os.read(r, 4096); i = data.find(KEY)
            if i >= 0: return data[i:i + 14].decode('latin1')
    return 'not found'
