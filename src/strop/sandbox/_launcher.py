# What runs in the sandbox before the program: its text is given to the interpreter, and nothing imports it.
#
# The rules, the program and its input arrive on stdin, so that no file has to be written for them, and the limits are
# in force before the first byte of the program is read. It runs as the module __main__, whose namespace is left clean;
# exit and quit are put back, which programs use and which Python without its site module lacks. posix is built in,
# while importing os would take 2 ms, and so would ctypes.
def _load():
    import _ctypes
    import builtins
    import marshal
    import posix
    import sys

    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]

    def read(n):
        data = bytearray()
        while len(data) < n:
            data += posix.read(0, min(n - len(data), 1 << 20)) or sys.exit("no program arrived")
        return bytes(data)

    def part():
        return read(int.from_bytes(read(4), "big"))

    def number(n, size):
        return n.to_bytes(size, sys.byteorder)

    libc = _ctypes.dlopen(None, 2)  # type: ignore[arg-type] # the interpreter itself

    def call(name, *arguments):
        if _ctypes.call_function(_ctypes.dlsym(libc, name), arguments) < 0:
            sys.exit(f"the sandbox could not be closed: {name}")

    for name in posix.environ:  # they were the interpreter's, to start sooner
        posix.unsetenv(name)
    posix.environ.clear()
    limits, user, seccomp, rules = marshal.loads(part())
    if user:  # a real user of its own, whose threads are this program's alone: the kernel counts them by it
        call("setresuid", user, -1, -1)
    for resource, most, hard in limits:
        call("setrlimit", resource, number(most, 8) + number(hard, 8))
    program = part()
    # Input is a file, as on contest judges: programs ask for its size. Sealed, because its memory counts for nobody. It
    # never passes through this process: what memory that is given back still holds, a program can read, and the input
    # of a harness has in it what a program must not see.
    stdin = posix.memfd_create("stdin", 3)  # MFD_CLOEXEC | MFD_ALLOW_SEALING
    left = int.from_bytes(read(4), "big")
    while left:
        left -= posix.splice(0, stdin, left) or sys.exit("the input ended early")
    call("fcntl", stdin, 1033, 15)  # F_ADD_SEALS: seal, shrink, grow, write
    posix.lseek(stdin, 0, 0)
    posix.dup2(stdin, 0)
    posix.close(stdin)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.__stdin__ = sys.stdin  # type: ignore[misc]
    # No capabilities; then the list of system calls. struct sock_fprog holds the length and the address of the rules.
    call("capset", number(0x20080522, 4) + number(0, 4), bytes(24))
    if rules:
        where = id(rules) + bytes.__basicsize__ - 1
        call("syscall", seccomp, 1, 0, number(len(rules) // 8, 2) + bytes(6) + number(where, 8))
    sys.argv = ["main.py"]
    sys.setrecursionlimit(sys.getrecursionlimit() + 2)  # what is below the program's first frame
    if b"\0" in program:
        raise SyntaxError("source code string cannot contain null bytes")

    # The interpreter's own function: compile() would first make the types of the syntax tree, which takes 1 ms.
    class Object(_ctypes._SimpleCData):
        _type_ = "O"

    class Function(_ctypes.CFuncPtr):
        _flags_, _restype_ = 1 | 4, Object  # C, of Python's API

    return Function(_ctypes.dlsym(libc, "Py_CompileString"))(program, b"main.py", 257)  # Py_file_input


__file__ = "main.py"
_program = _load()
del _load
exec(globals().pop("_program"))
