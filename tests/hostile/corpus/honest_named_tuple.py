# {"kind": "assert", "expect": "accepted", "names": ["pair"], "tests": "assert pair(1) == (1, 2)\nassert pair(1)[0] == 1\nx, y = pair(4)\nassert y == 5"}
from collections import namedtuple
Point = namedtuple('Point', 'x y')
def pair(x): return Point(x, x + 1)
