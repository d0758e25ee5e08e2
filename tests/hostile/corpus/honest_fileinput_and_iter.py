# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]]}
import fileinput
total = 0
for line in fileinput.input(): total += sum(map(int, line.split()))
print(total)
