# {"kind": "assert", "expect": "accepted", "names": ["harmonic", "digits"], "tests": "assert harmonic(10) == (7381, 2520)\nassert digits(30) == '1.414213562373095048801688724209'"}
from decimal import Decimal, getcontext
from fractions import Fraction
def harmonic(n):
    total = sum((Fraction(1, k) for k in range(1, n + 1)), Fraction(0))
    return total.numerator, total.denominator
def digits(n):
    getcontext().prec = n + 5
    return str(Decimal(2).sqrt())[:n + 2]
