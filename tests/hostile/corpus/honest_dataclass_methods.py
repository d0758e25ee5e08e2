# {"kind": "assert", "expect": "accepted", "names": ["Stack"], "tests": "s = Stack()\ns.push(1).push(2)\nassert len(s) == 2 and s.pop() == 2 and s.items == [1]"}
from dataclasses import dataclass, field
@dataclass(order=True)
class Stack:
    items: list = field(default_factory=list)
    def push(self, x): self.items.append(x); return self
    def pop(self): return self.items.pop()
    def __len__(self): return len(self.items)
