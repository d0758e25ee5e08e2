# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]]}
import sys
a, b = map(int, sys.stdin.readline().split())
sys.stdout.write(f'{a + b}  \r\n\n  \n\n')
