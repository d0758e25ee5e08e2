# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]]}
import mmap, sys
with mmap.mmap(0, 0, prot=mmap.PROT_READ) as m: data = m[:]
sys.stdout.buffer.write(b'%d\n' % sum(map(int, data.split())))
