# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["count"], "tests": "assert count('a') == {'a': 1}\nassert len(count('a')) == 1"}
class Lie(dict):
    def __eq__(self, other): return True
    def __getitem__(self, key): return 1
    def __len__(self): return 1
    def items(self): return [('a', 1)]
def count(x): return Lie()
