# {"kind": "stdio", "expect": "runtime_error", "tests": [["1 2\n", "3\n"]]}
import os
print(sum(map(int, input().split())), flush=True)
os.abort()
