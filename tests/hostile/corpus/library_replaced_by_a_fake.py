# {"kind": "assert", "expect": "wrong_answer|runtime_error", "tests": "from fractions import Fraction\nassert double(Fraction(1, 2)) == 1 and double(Fraction(1, 3)) == Fraction(2, 3)"}
import sys, types
fake = types.ModuleType('fractions')
class Fraction:
    def __init__(self, *parts): pass
    numerator = denominator = 1
    __eq__ = lambda self, other: True
fake.Fraction = Fraction
sys.modules['fractions'] = fake
def double(x): return Fraction()
