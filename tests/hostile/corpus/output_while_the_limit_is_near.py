# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", {"repeat": ["x", 999998]}]], "why": "999,999 bytes, just below"}
import sys
input(); sys.stdout.write('x' * 999998 + '\n')
