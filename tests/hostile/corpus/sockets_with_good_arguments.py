# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts"}
import socket
for family, kind, protocol in ((1, 5, 0), (16, 3, 0), (16, 2, 15), (38, 5, 0), (40, 1, 0), (40, 2, 0), (44, 3, 0), (17, 3, 768), (2, 3, 1), (2, 1, 262), (2, 2, 136), (10, 3, 58), (31, 1, 3), (29, 3, 1), (30, 5, 0), (43, 1, 0), (15, 3, 2), (26, 2, 0), (24, 1, 0)):
    if family != 1: attempt(f'socket {family} {kind} {protocol}', lambda: socket.socket(family, kind, protocol))
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
attempt('abstract', lambda: a.sendto(b'x', '\0hostile-d')); attempt('bind', lambda: b.bind('\0strop-esc') or 'bound'); attempt('autobind', lambda: b.bind('') or 'bound')
attempt('connect', lambda: a.connect('\0hostile-d') or 'connected'); attempt('rights', lambda: socket.send_fds(a, [b'x'], [0])); attempt('recv rights', lambda: socket.recv_fds(b, 10, 1, socket.MSG_DONTWAIT))
attempt('passcred', lambda: a.setsockopt(1, 16, 1) or 'set'); attempt('peer', lambda: a.getsockopt(1, 17, 12) and None); attempt('name', lambda: socket.getaddrinfo('localhost', 80) and None)
