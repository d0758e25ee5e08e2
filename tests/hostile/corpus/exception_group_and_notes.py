# {"kind": "assert", "expect": "wrong_answer|runtime_error"}
class AssertionPassed(AssertionError):
    def __bool__(self): return True
def double(x):
    error = AssertionPassed('passed'); error.add_note('passed\n')
    raise BaseExceptionGroup('all passed', [error, KeyboardInterrupt()])
