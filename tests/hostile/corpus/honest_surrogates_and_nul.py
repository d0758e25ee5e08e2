# {"kind": "assert", "expect": "accepted", "names": ["text"], "tests": "assert text(65) == '\\ud800\\0A\\u2028\\U0010ffff'"}
def text(x): return '\ud800\0' + chr(x) + '\u2028\U0010ffff'
