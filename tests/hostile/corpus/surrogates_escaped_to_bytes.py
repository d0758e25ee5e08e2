# {"kind": "stdio", "expect": "wrong_answer", "tests": [["1 2\n", "3\n"]]}
import sys
sys.stdout.reconfigure(errors='surrogateescape')
print(str(sum(map(int, input().split()))) + '\udcff')
