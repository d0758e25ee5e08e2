# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]]}
import contextlib, io, sys
buffer = io.StringIO()
with contextlib.redirect_stdout(buffer): print(sum(map(int, input().split())))
old, sys.stdout = sys.stdout, io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, 'w', closefd=False)))
sys.stdout.write(buffer.getvalue()); sys.stdout.flush()
