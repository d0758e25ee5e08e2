# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"], ["3 4\n", "7\n"], ["5 5\n", "10\n"]], "why": "of three runs, none sees what another left"}
import builtins, os, signal, sys, time
seen = []
for name in ('STROP', 'strop_state'): seen += [os.environ.get(name), getattr(builtins, name, None), getattr(sys, name, None)]
os.environ['STROP'] = 'x'; builtins.STROP = sys.strop_state = 1
os.umask(0); os.setpgid(0, 0); signal.alarm(100); signal.setitimer(signal.ITIMER_PROF, 100)
try: os.chdir('/')
except OSError: pass
total = sum(map(int, input().split()))
print(total if not any(seen) and sys.stdin.read() == '' else 'ESC: something was left')
