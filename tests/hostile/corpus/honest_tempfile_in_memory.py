# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]]}
import tempfile
with tempfile.SpooledTemporaryFile(max_size=1 << 20, mode='w+') as f:
    f.write(input()); f.seek(0); print(sum(map(int, f.read().split())))
