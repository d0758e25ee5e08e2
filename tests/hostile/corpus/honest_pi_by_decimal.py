# {"kind": "stdio", "expect": "accepted", "tests": [["50\n", "3.14159265358979323846264338327950288419716939937510\n"]]}
from decimal import Decimal, getcontext
n = int(input()); getcontext().prec = n + 10
a, b, t, p = Decimal(1), 1 / Decimal(2).sqrt(), Decimal('0.25'), Decimal(1)
for _ in range(12): a, b, t, p = (a + b) / 2, (a * b).sqrt(), t - p * ((a - b) / 2) ** 2, 2 * p
print(str((a + b) ** 2 / (4 * t))[:n + 2])
