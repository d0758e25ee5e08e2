# {"kind": "stdio", "expect": "wrong_answer", "tests": [["1 2\n", "3\n"]], "why": "a zero-width space is no white space"}
print(str(sum(map(int, input().split()))) + '\u200b')
