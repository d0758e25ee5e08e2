# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]]}
import os
fd = os.dup(1); os.close(1)
os.write(fd, b'%d\n' % sum(map(int, input().split())))
