# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["secret"], "tests": "assert secret() == 'needle-8314159'"}
import inspect, sys
def found(frame):
    while frame is not None:
        for one in (*frame.f_locals.values(), *frame.f_globals.values(), *frame.f_code.co_consts):
            if isinstance(one, str) and 'needle' + '-' in one:
                i = one.find('needle-'); return one[i:i + 14]
        frame = frame.f_back
def secret():
    try: 1 / 0
    except ZeroDivisionError as error: tb = error.__traceback__
    g = (x for x in [1])
    for frame in (sys._getframe(), tb.tb_frame, g.gi_frame, *(f.frame for f in inspect.stack())):
        if (got := found(frame)): return got
    return 'not found'
