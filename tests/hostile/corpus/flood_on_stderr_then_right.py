# {"kind": "stdio", "expect": "runtime_error", "tests": [["1 2\n", "3\n"]], "why": "stderr has the same limit"}
import sys
for _ in range(3000): sys.stderr.write('x' * 1000000)
print(sum(map(int, input().split())))
