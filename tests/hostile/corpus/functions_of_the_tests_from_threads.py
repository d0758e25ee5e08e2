# {"kind": "assert", "expect": "runtime_error|wrong_answer|timeout", "limits": {"wall_seconds": 3}, "names": ["f"], "tests": "assert f(lambda x: x) == 4"}
import threading
def f(g):
    def many():
        for i in range(200): g(i)
    for _ in range(8): threading.Thread(target=many, daemon=True).start()
    many()
    return 0
