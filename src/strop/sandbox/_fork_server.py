# What runs in the sandbox to start programs: its text is given to the interpreter before the launcher's, and nothing
# imports it.
#
# It forks for each program and never runs a line of one, nor does it read one: what is sent to a program comes over
# pipes that are made for it alone. The child keeps none of the server's descriptors, may signal no process outside of
# its own (a Landlock domain within the sandbox's), and goes on to the launcher, which takes its other rights away.
# Conversation, numbers in 4 bytes: the name of a folder (8 bytes) is answered by the child's process number, or the
# error's below 0, and the descriptors of the far ends of its input, output and errors; one byte more by the status
# with which it ended. An end of the conversation ends the server, and that ends its child.
def _serve():
    import _ctypes
    import marshal  # noqa: F401 - the launcher's
    import posix
    import sys

    libc = _ctypes.dlopen(None, 2)  # type: ignore[arg-type] # the interpreter itself

    def call(name, *arguments):
        result = _ctypes.call_function(_ctypes.dlsym(libc, name), arguments)
        if result < 0:
            sys.exit(f"the sandbox could not be closed: {name}")
        return result

    def answer(*numbers):
        posix.write(1, b"".join(n.to_bytes(4, sys.byteorder, signed=True) for n in numbers))

    # struct landlock_ruleset_attr: nothing of files, nothing of the network; abstract sockets (1) and signals (2).
    domain = call("syscall", 444, bytes(16) + (3).to_bytes(8, sys.byteorder), 24, 0)
    server = posix.getpid()
    while folder := posix.read(0, 8):
        ends = (*posix.pipe(), *posix.pipe(), *posix.pipe())
        try:
            pid = posix.fork()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            break
        answer(pid, ends[1], ends[2], ends[4])
        if not posix.read(0, 1):
            posix._exit(0)
        for end in ends:
            posix.close(end)
        answer(posix.waitpid(pid, 0)[1] if pid > 0 else 0)
    else:
        posix._exit(0)
    for end, own in ((ends[0], 0), (ends[3], 1), (ends[5], 2)):
        posix.dup2(end, own)
    posix.chdir(folder)
    posix.setpgid(0, 0)
    call("syscall", 446, domain, 0)
    call("prctl", 1, 9)  # PR_SET_PDEATHSIG, SIGKILL
    if posix.getppid() != server:
        sys.exit("the sandbox's server has ended")
    posix.closerange(3, 1 << 30)


_serve()
del _serve
