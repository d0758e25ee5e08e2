# {"kind": "stdio", "expect": "runtime_error", "tests": [["1 2\n", "3\n"]], "why": "the third way of x86-64 to number its calls"}
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print("ESC:", libc.syscall(0x40000000 | 39), ctypes.get_errno())
