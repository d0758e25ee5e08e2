# {"kind": "assert", "expect": "wrong_answer|runtime_error", "tests": "class Wanted:\n    def __getitem__(self, i):\n        if i == 2:\n            raise IndexError\n        return double(i) == 2 * i\nfor right in Wanted():\n    assert right", "why": "the tests' own loop ends by the exception that the program raises"}
def double(x): raise IndexError
