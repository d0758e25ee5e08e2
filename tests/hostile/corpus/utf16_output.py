# {"kind": "stdio", "expect": "wrong_answer", "tests": [["1 2\n", "3\n"]]}
import sys
sys.stdout.reconfigure(encoding='utf-16')
print(sum(map(int, input().split())))
