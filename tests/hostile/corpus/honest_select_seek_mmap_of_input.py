# {"kind": "stdio", "expect": "accepted"}
import mmap, os, select, sys
assert select.select([sys.stdin], [], [], 5)[0]
m = mmap.mmap(0, 0, prot=mmap.PROT_READ)
first = sum(map(int, m[:].split()))
sys.stdin.seek(0)
assert first == sum(map(int, sys.stdin.read().split()))
assert not sys.stdin.isatty() and os.read(0, 1) == b""
print(first)
