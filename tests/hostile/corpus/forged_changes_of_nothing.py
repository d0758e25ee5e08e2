# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout", "limits": {"wall_seconds": 3}, "within": "forged"}
data = '~4'.encode()
