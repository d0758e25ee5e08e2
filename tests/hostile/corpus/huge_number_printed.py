# {"kind": "stdio", "expect": "runtime_error", "tests": [["1 2\n", "3\n"]], "why": "Python refuses more than 4,300 digits"}
print(10 ** 5000)
