# {"kind": "stdio", "expect": "timeout", "why": "what the sandbox does for a program is work of the judge's own process"}
import os, threading, time
end = time.monotonic() + 9
def ask():
    while time.monotonic() < end:
        os.access('/etc/passwd', os.R_OK)
threads = [threading.Thread(target=ask) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
print(sum(map(int, input().split())))
