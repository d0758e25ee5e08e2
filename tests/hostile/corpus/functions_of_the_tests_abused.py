# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["use"], "tests": "secret = 'needle-271828'\ndef check(x): return x == secret\ndef show(x): return f'{x}'\nassert use(check, show) == secret", "why": "they are called with whatever a program likes, and hand over results alone"}
import gc
class Odd:
    def __format__(self, spec): return '{0.__init__.__globals__}'
    def __str__(self): return '{0.__init__.__globals__}'
    __eq__ = lambda self, other: True
def use(check, show):
    seen = [check(Odd()), show(Odd()), show('{0.__globals__}')]
    for name in ('__globals__', '__code__', '__closure__', '__self__', '__defaults__', '__wrapped__'):
        seen.append(getattr(check, name, None))
    for args in ((), (1, 2), (check,), ([check, show],)):
        try: seen.append(check(*args))
        except Exception as error: seen += [error, error.__traceback__.tb_frame.f_globals if error.__traceback__ else None]
    text = repr(seen)
    at = text.find('needle' + '-')
    return text[at:at + 13] if at >= 0 else None
