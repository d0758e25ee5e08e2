# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts", "why": "what the kernel keeps for a process is limited"}
import signal
info = ctypes.create_string_buffer(struct.pack('iii', 40, 0, -1) + bytes(116), 128)
signal.pthread_sigmask(signal.SIG_BLOCK, [40])
n = 0
while n < 20000 and sysc(129, os.getpid(), 40, info) == 0: n += 1
attempt('queued signals', lambda: n >= 20000 and n)
timer = ctypes.c_int(); m = 0
event = ctypes.create_string_buffer(struct.pack('Qii', 0, 0, 1), 64)
while m < 20000 and sysc(222, 1, event, ctypes.byref(timer)) == 0: m += 1
attempt('timers', lambda: m >= 20000 and m)
signal.signal(40, signal.SIG_IGN)
