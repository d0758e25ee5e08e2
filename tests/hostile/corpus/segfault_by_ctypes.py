# {"kind": "stdio", "expect": "runtime_error", "tests": [["1 2\n", "3\n"]]}
import ctypes
print(3, flush=True)
ctypes.string_at(0)
