# {"kind": "stdio", "expect": "accepted", "tests": [["", "25997 749613\n"]]}
n = 300000
sieve = bytearray([1]) * (n + 1); sieve[:2] = b'\0\0'
for i in range(2, int(n ** .5) + 1):
    if sieve[i]: sieve[i * i::i] = bytes(len(range(i * i, n + 1, i)))
def mul(a, b): return [[sum(x * y for x, y in zip(r, c)) % 1000007 for c in zip(*b)] for r in a]
m, p, e = [[1, 1], [1, 0]], [[1, 0], [0, 1]], 10 ** 12
while e:
    if e & 1: p = mul(p, m)
    m = mul(m, m); e >>= 1
print(sum(sieve), p[0][1])
