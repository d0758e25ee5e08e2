# {"kind": "assert", "expect": "accepted", "names": ["apply", "total", "order", "P"], "tests": "calls = []\nassert apply(lambda x: calls.append(x) or x + 1, 2) == 3 and calls == [2] and apply(len, 'ab') == 2\nassert total(x * x for x in range(4)) == 14 and total(map(abs, [-1, 2])) == 3\nrow = [3, 1]\nrows = [row, row]\ngot = order(rows)\nassert got is row and row == [1, 3] and rows == [row] and rows[0] is row\nassert P(1) == P(1) != P(2) and len({P(1), P(1), P(2)}) == 2"}
def apply(f, x): return f(x)
def total(numbers): return sum(numbers)
def order(rows):
    rows[0].sort()
    return rows.pop()
class P:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return isinstance(other, P) and self.x == other.x
    def __hash__(self): return hash(self.x)
