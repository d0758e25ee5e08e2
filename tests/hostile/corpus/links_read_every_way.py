# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts", "why": "where a link leads is part of what the machine has"}
import platform
READLINK, READLINKAT = (89, 267) if platform.machine() == 'x86_64' else (None, 78)
parent = os.getppid()
paths = ['/proc/self', '/proc/self/exe', '/proc/self/cwd', '/proc/self/root', '/proc/thread-self', '/proc/self/ns/net', '/bin', '/lib', '/etc/localtime', '/etc/mtab', '/dev/fd', '/proc/1/exe', f'/proc/{parent}/exe', f'/proc/{parent}/cwd']
paths += [f'/proc/{one}/fd/{fd}' for one in ('self', parent, 1) for fd in range(8)]
buffer = ctypes.create_string_buffer(4096)
for path in paths:
    attempt('readlink ' + path, lambda: os.readlink(path))
    attempt('realpath ' + path, lambda: os.path.realpath(path, strict=True) if path != os.path.realpath(path, strict=True) else None)
    if READLINK: attempt('call ' + path, lambda: got(READLINK, path.encode(), buffer, 4096))
    attempt('call at ' + path, lambda: got(READLINKAT, -100, path.encode(), buffer, 4096))
    def by_descriptor():
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        return got(READLINKAT, fd, b'', buffer, 4096)
    attempt('by descriptor ' + path, by_descriptor)
