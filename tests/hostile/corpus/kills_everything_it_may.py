# {"kind": "stdio", "expect": "accepted|runtime_error|timeout", "tests": [["1 2\n", "3\n"]], "limits": {"wall_seconds": 3}}
import os, signal
for target in (-1, 0, -os.getppid(), 1):
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL) if target != 0 else (signal.SIGURG,):
        try: os.kill(target, number)
        except OSError: pass
print(sum(map(int, input().split())))
