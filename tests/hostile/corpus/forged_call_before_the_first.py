# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout", "limits": {"wall_seconds": 3}, "within": "forged", "tests": "assert double(abs) == 4"}
data = '?["l",-1,["t"],["d"]]'.encode()
