# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"], ["1 2\n", "3\n"]], "why": "the input is a file in memory: memory that counts for nobody, were it to grow", "within": "attempts"}
import mmap
attempt("write", lambda: os.write(0, b"x" * 4096))
attempt("pwrite", lambda: os.pwrite(0, b"x" * 4096, 1 << 30))
attempt("truncate", lambda: os.ftruncate(0, 1 << 30) or 1)
attempt("fallocate", lambda: got(285, 0, 0, 0, 1 << 30))
attempt("shared mapping", lambda: mmap.mmap(0, 4, mmap.MAP_SHARED, mmap.PROT_WRITE | mmap.PROT_READ).write(b"9"))
attempt("reopened", lambda: os.write(os.open("/proc/self/fd/0", os.O_RDWR), b"9"))
attempt("chmod", lambda: os.fchmod(0, 0o777) or 1)
attempt("xattr", lambda: os.setxattr(0, "user.x", b"1") or 1)
os.lseek(0, 0, 0)
