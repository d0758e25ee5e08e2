# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout", "limits": {"wall_seconds": 3}, "within": "forged", "tests": "assert double(eval) == 4", "why": "what belongs to the standard library is the program's to call over there, never here"}
data = '?["l",0,["t","__import__(\'os\').write(2,b\'ESC: in the tests\')"],["d"]]'.encode()
