# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts"}
import select, socket
kept = []
for way in (lambda: os.pipe(), lambda: socket.socketpair(), lambda: select.epoll(), lambda: os.dup(0), lambda: os.eventfd(0), lambda: os.open('/dev/null', 0), lambda: socket.socket(1, 1)):
    try:
        while len(kept) < 5000: kept.append(way())
    except OSError: pass
attempt('descriptors', lambda: len(kept) > 200 and len(kept))
kept.clear()
