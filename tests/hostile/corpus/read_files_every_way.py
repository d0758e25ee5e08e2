# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts"}
import io, glob, mmap, sqlite3, linecache, importlib.util, importlib.machinery, tarfile, zipfile, configparser
targets = ["/etc/passwd", "/etc/shadow", "/root/.bashrc", os.path.expanduser("~root/.profile"), "@DIR@/canary/secret.txt",
  "@PROJECT@/README.md", "@DIR@/run.py", "@PROJECT@/pyproject.toml", "/proc/1/environ", "/proc/self/environ", "/dev/zero", "/dev/vda", "/dev/mem", "/dev/kmsg", "/sys/kernel/uevent_seqnum"]
def cat(o): return o if o else None

for p in targets:
    b = p.encode()
    attempt("open "+p, lambda: open(p,"rb").read(64))
    attempt("os.open "+p, lambda: os.read(os.open(p, os.O_RDONLY), 64))
    attempt("O_PATH->/proc/self/fd "+p, lambda: open(f"/proc/self/fd/{os.open(p, os.O_PATH)}","rb").read(64))
    attempt("open(2) "+p, lambda: os.read(sysc(2,b,0,0),64))
    attempt("openat "+p, lambda: os.read(sysc(257,-100,b,0,0),64))
    attempt("openat2 "+p, lambda: os.read(sysc(437,-100,b,(ctypes.c_uint64*3)(0,0,0),24),64))
    attempt("openat2 in_root "+p, lambda: os.read(sysc(437,os.open("/",os.O_PATH),b,(ctypes.c_uint64*3)(0,0,0x10),24),64))
    attempt("root/ "+p, lambda: open("/proc/self/root"+p,"rb").read(64))
    attempt("thread-self "+p, lambda: open("/proc/thread-self/root"+p,"rb").read(64))
    attempt("ppid root "+p, lambda: open(f"/proc/{os.getppid()}/root"+p,"rb").read(64))
    attempt("sqlite "+p, lambda: sqlite3.connect(f"file:{p}?mode=ro",uri=True).execute("select * from sqlite_master").fetchall())
    attempt("linecache "+p, lambda: linecache.getlines(p))
    attempt("CDLL "+p, lambda: ctypes.CDLL(p))
    attempt("loader "+p, lambda: importlib.machinery.SourceFileLoader("x",p).get_data(p)[:64])
    attempt("spec "+p, lambda: importlib.util.spec_from_file_location("x",p).loader.get_code("x"))
    attempt("fopen "+p, lambda: ctypes.CDLL(None).fopen(b, b"r"))
for d in ("/", "/root", "/tmp", "/home", "@DIR@/canary", "/proc", "/proc/self/fd", "/dev", "/dev/shm", "/sys", "/etc", os.path.dirname(os.path.dirname(os.__file__))):
    attempt("listdir "+d, lambda: os.listdir(d))
    attempt("scandir "+d, lambda: [e.name for e in os.scandir(d)])
    attempt("glob "+d, lambda: glob.glob(d.rstrip("/")+"/*"))
    attempt("walk "+d, lambda: next(os.walk(d))[1:] if any(next(os.walk(d))[1:]) else None)
