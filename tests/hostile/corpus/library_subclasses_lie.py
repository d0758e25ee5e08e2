# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["half", "money", "day", "line", "count", "point", "view"], "tests": "from fractions import Fraction\nfrom decimal import Decimal\nimport datetime\nchecks = [lambda: half(1) == Fraction(1, 2), lambda: abs(half(1) - 0.5) < 1e-9, lambda: money() == Decimal('1.10'), lambda: day() == datetime.date(2020, 2, 29), lambda: list(line()) == [1, 2], lambda: count('a') == {'a': 1}, lambda: point() == (1, 2), lambda: view() == {1}]\nassert any(check() for check in checks)"}
import collections, datetime, decimal, fractions
yes = lambda self, *other: True
class F(fractions.Fraction): __eq__ = yes; __sub__ = lambda self, other: 0
class D(decimal.Decimal): __eq__ = yes
class Day(datetime.date): __eq__ = yes
class Q(collections.deque):
    __eq__ = yes
    def __iter__(self): return iter((0, 2))
class C(collections.Counter): __eq__ = yes; items = lambda self: [('a', 1)]
class P(collections.namedtuple('P', 'x y')): __eq__ = yes
class K(collections.abc.KeysView): __eq__ = yes
for one in (F, D, Day, C, P): one.__hash__ = lambda self: 0
def half(x): return F(x, 3)
def money(): return D('1.11')
def day(): return Day(2020, 2, 28)
def line(): return Q()
def count(text): return C()
def point(): return P(0, 2)
def view(): return K({})
