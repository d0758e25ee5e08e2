# {"kind": "assert", "expect": "wrong_answer|runtime_error"}
class Four(int):
    def __call__(self, x): return 4
double = 4
