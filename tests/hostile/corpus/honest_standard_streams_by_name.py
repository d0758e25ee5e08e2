# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "why": "as C programmers write it"}
import sys
with open('/dev/stdin') as f: numbers = list(map(int, f.read().split()))
with open('/dev/stdout', 'w') as f: f.write(f'{sum(numbers)}\n')
