# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]]}
import atexit, sys
@atexit.register
def last(): print(sum(numbers))
numbers = list(map(int, input().split()))
try: sys.exit()
finally: pass
