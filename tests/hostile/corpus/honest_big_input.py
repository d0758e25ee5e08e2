# {"kind": "stdio", "expect": "accepted", "tests": [[{"repeat": ["7 ", 400000]}, "400000 2800000\n"]]}
import sys
data = sys.stdin.buffer.read().split()
print(len(data), sum(map(int, data)))
