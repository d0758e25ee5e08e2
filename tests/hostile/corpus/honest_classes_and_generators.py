# {"kind": "assert", "expect": "accepted", "names": ["Stack", "numbers", "TooSmall"], "tests": "s = Stack()\ns.push(1); s.push('a')\nassert len(s) == 2 and s[0] == 1 and s.pop() == 'a' and str(s) == '[1]' and s\nassert list(numbers(3)) == [0, 1, 2]\ng = numbers(1)\nassert next(g) == 0\ntry:\n    next(g)\n    assert False\nexcept StopIteration:\n    pass\ntry:\n    s.items_at(-1)\n    assert False, 'no error'\nexcept ValueError:\n    pass\ntry:\n    Stack().pop()\n    assert False, 'no error'\nexcept IndexError:\n    pass"}
class TooSmall(ValueError): pass
class Stack:
    def __init__(self): self.items = []
    def push(self, x): self.items.append(x)
    def pop(self): return self.items.pop()
    def items_at(self, i):
        if i < 0: raise TooSmall(i)
        return self.items[i]
    def __len__(self): return len(self.items)
    def __getitem__(self, i): return self.items[i]
    def __str__(self): return str(self.items)
def numbers(n): yield from range(n)
