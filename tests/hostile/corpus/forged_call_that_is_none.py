# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout", "limits": {"wall_seconds": 3}, "within": "forged", "tests": "assert double(lambda x: x) == 4"}
data = '?["x",0]'.encode()
