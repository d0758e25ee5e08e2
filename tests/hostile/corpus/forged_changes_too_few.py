# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout", "limits": {"wall_seconds": 3}, "within": "forged", "tests": "a = [2, 1]\nb = {1: 2}\nassert double(a) == 4\nassert a == [1, 2]"}
data = '~["l",4,["l"]]'.encode()
