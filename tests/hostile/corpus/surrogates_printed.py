# {"kind": "stdio", "expect": "runtime_error", "tests": [["1 2\n", "3\n"]]}
print('\ud800' + str(sum(map(int, input().split()))))
