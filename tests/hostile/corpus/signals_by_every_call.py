# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "limits": {"processes": 4}, "within": "attempts"}
info = ctypes.create_string_buffer(struct.pack("iii", 10, 0, -1) + bytes(116), 128)
for target in (os.getppid(), int("@PID@"), 1):
    for number in (0, 10, 15):
        attempt(f"kill {target} {number}", lambda: got(62, target, number)); attempt(f"tkill {target}", lambda: got(200, target, number))
        attempt(f"tgkill {target}", lambda: got(234, target, target, number)); attempt(f"group {target}", lambda: target > 1 and got(62, -target, number))
        attempt(f"sigqueue {target}", lambda: got(129, target, number, info)); attempt(f"tgsigqueue {target}", lambda: got(297, target, target, number, info))
    fd = sysc(434, target, 0)
    attempt(f"pidfd {target}", lambda: fd + 1); attempt(f"pidfd signal {target}", lambda: got(424, fd, 10, 0, 0))
import signal; signal.signal(10, signal.SIG_IGN)
if os.fork() == 0:
    try: os.kill(-1, 10)     # as far as anything may be reached: processes of its own
    except OSError: pass
    os._exit(0)
time.sleep(.1)
