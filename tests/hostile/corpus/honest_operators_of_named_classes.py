# {"kind": "assert", "expect": "accepted", "names": ["V", "W"], "tests": "\nassert V(1, 2) + V(3, 4) == V(4, 6) and V(1) < V(2) and V(2) > V(1) and -V(1) == V(-1) and abs(V(1, 2)) == 3\nassert max(V(1), V(3), V(2)) == V(3) and repr(V(1)) == 'V([1])' and str([V(1)]) == '[V([1])]'\nv = V(1, 2)\nv[0] = 7\nassert v[0] == 7 and 7 in v and 8 not in v\ndel v[0]\nwith v as same:\n    assert same is v and v.v == [2]\nassert v.v == [] and isinstance(W(1), V) and issubclass(W, V) and not isinstance(4, V) and not isinstance(V(1), W)\n", "why": "objects of classes that the tests name, among each other"}
class V:
    def __init__(self, *v): self.v = list(v)
    def __add__(self, o): return V(*(a + b for a, b in zip(self.v, o.v)))
    def __eq__(self, o): return isinstance(o, V) and self.v == o.v
    def __lt__(self, o): return self.v < o.v
    def __neg__(self): return V(*(-a for a in self.v))
    def __abs__(self): return sum(self.v)
    def __repr__(self): return f'V({self.v})'
    def __getitem__(self, i): return self.v[i]
    def __setitem__(self, i, x): self.v[i] = x
    def __delitem__(self, i): del self.v[i]
    def __enter__(self): return self
    def __exit__(self, *a): self.v = []
class W(V): pass
