# {"kind": "stdio", "expect": "runtime_error", "tests": [["1 2\n", "3\n"]], "limits": {"memory_mb": 128}, "why": "no room is left for the traceback, which looks like the compiler's then"}
l = []
while True: l = [l, 1.5, object()]
