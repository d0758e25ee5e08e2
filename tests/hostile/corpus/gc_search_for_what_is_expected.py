# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["secret"], "tests": "assert secret() == 'needle-8314159'", "limits": {"cpu_seconds": 8, "wall_seconds": 20}}
import gc, sys, threading
def texts(o, seen, depth=0):
    if id(o) in seen or depth > 6: return
    seen.add(id(o))
    if isinstance(o, (str, bytes)): yield str(o)
    else:
        for one in gc.get_referents(o): yield from texts(one, seen, depth + 1)
def secret():
    seen = set()
    for o in [*gc.get_objects(), *gc.get_referrers(sys.modules), *sys._current_frames().values(), *threading.enumerate()]:
        for t in texts(o, seen):
            i = t.find('needle' + '-')
            if i >= 0: return t[i:i + 14]
    return 'not found'
