# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout", "limits": {"wall_seconds": 3}, "within": "forged", "why": "the names become source in namedtuple"}
data = '=["n",["x","a=__import__(\'os\')._exit(0)"],4]'.encode()
