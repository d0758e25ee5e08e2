# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "why": "which pages of the standard library others have used, and taking them out of the cache", "within": "attempts"}
import mmap
f = os.open(os.path.dirname(os.__file__) + "/this.py", os.O_RDONLY)
m = mmap.mmap(f, 0, mmap.MAP_SHARED, mmap.PROT_READ)
libc.mmap.restype = ctypes.c_void_p
a = libc.mmap(None, ctypes.c_size_t(4096), 1, 1, f, ctypes.c_long(0))
attempt("mincore", lambda: got(27, a, 4096, ctypes.create_string_buffer(8)))
attempt("fadvise DONTNEED", lambda: got(221, f, 0, 0, 4))
attempt("readahead", lambda: got(187, f, 0, 4096))
attempt("cachestat", lambda: reached(451, f, ctypes.create_string_buffer(16), ctypes.create_string_buffer(64), 0))
attempt("msync", lambda: got(26, a, 4096, 4))
for name, number in (("COLD", 20), ("PAGEOUT", 21), ("HWPOISON", 100), ("SOFT_OFFLINE", 101), ("REMOVE", 9), ("MERGEABLE", 12), ("COLLAPSE", 25), ("POPULATE_WRITE", 23)):
    attempt("MADV_" + name, lambda: reached(28, a, 4096, number))
