# {"kind": "assert", "expect": "wrong_answer|runtime_error", "tests": "assert all(double(x) == 2 * x for x in (1, 2, 3))\nassert [double(x) for x in (1,)] == [2]"}
def double(x):
    raise (StopAsyncIteration, GeneratorExit)[x == 2]('done')
