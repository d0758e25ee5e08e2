# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout", "limits": {"wall_seconds": 3}, "within": "forged", "tests": "a = [2, 1]\nassert double(a) == 4"}
data = '~["l",4,["l",["d"],["l"],["d"]]]'.encode()
