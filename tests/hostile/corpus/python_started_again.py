# {"kind": "stdio", "expect": "runtime_error", "tests": [["1 2\n", "3\n"]], "why": "a fresh interpreter is no freer: neither capabilities nor calls come back", "within": "attempts"}
code = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
data = (ctypes.c_uint32 * 6)()
libc.syscall(125, (ctypes.c_uint32 * 2)(0x20080522, 0), data)
escaped = [f"ESC: capabilities {list(data)}"] if any(data) else []
for number in (42, 101, 165, 272, 308, 310, 319, 321, 425, 428):
    if libc.syscall(number, -1, -1, -1, -1, -1) != -1 or ctypes.get_errno() != 1:
        escaped.append(f"ESC: call {number}")
try: escaped.append("ESC: " + open("/etc/passwd").read(20))
except OSError: pass
print("\\n".join(escaped))
raise SystemExit(3)
"""
os.execv(sys.executable, [sys.executable, "-S", "-c", code])
