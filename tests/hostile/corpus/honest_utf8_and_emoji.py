# {"kind": "stdio", "expect": "accepted", "tests": [["a\u00f1\ud83c\udf89\n", "\ud83c\udf89\u00f1a 3 b'a\\xc3'\n"]]}
name = input(); print(name[::-1], len(name), name.encode()[:2])
