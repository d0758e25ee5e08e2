"""Verdicts of functions that asserts are run on, and the tricks that must not pass."""

import pytest

from strop.rewards import judge_asserts
from strop.sandbox import Limits

QUICK = Limits(cpu_seconds=1, wall_seconds=8.0, memory_mb=128)
TESTS = "assert double(2) == 4\nassert double([1]) == [1, 1]"


def judge(program, tests=TESTS, names=("double",), **options):
    return judge_asserts(program, names, tests, QUICK, **options)


def test_accepted():
    judgement = judge("def double(x): return 2 * x")
    assert (judgement.verdict, judgement.passed, judgement.total, judgement.detail) == ("accepted", 1, 1, "")


@pytest.mark.parametrize(
    ("program", "verdict", "detail"),
    [
        (None, "no_code", "the answer has no Python program"),
        ("def double(x) return x", "syntax_error", "expected ':' (line 1)"),
        ("def double(x): return x", "wrong_answer", "AssertionError"),
        ("def double(x): pass", "wrong_answer", "AssertionError"),
        ("def double(x): return x / 0", "runtime_error", "ZeroDivisionError: division by zero"),
        ("raise ValueError(1)", "runtime_error", "ValueError: 1"),
        ("def triple(x): return 3 * x", "runtime_error", "AttributeError: module 'solution' has no attribute 'double'"),
        ("def double(x):\n while True: pass", "timeout", "used more than 1 s of CPU time"),
        ("while True: pass", "timeout", "used more than 1 s of CPU time"),
        ("def double(x): return bytearray(10**9)", "runtime_error", "needed more than 128 MiB of memory"),
        ("import os\ndef double(x): os.kill(os.getpid(), 9)", "runtime_error", "ended by signal 9"),
        ("def double(x): return iter(x)", "runtime_error", "TypeError: 'int' object is not iterable"),
        ("def double(x): return super", "wrong_answer", "AssertionError"),
            ("def double(x): assert False", "runtime_error", "AssertionError"),
    ],
)  # fmt: skip
def test_failures(program, verdict, detail):
    judgement = judge(program)
    assert (judgement.verdict, judgement.detail, judgement.passed) == (verdict, detail, 0)


YES = "class Yes(int):\n def __eq__(self, other): return True\n __ne__ = __hash__ = None\n"


@pytest.mark.parametrize(
    "trick",
    [
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "raise SystemExit",
        "def double(x): import os; os._exit(0)",
        "def double(x): raise SystemExit(0)",
        "print('passed')\nimport os; os._exit(0)",
        "import os\nos.write(1, b'passed\\n\\n')\ndef double(x): os.write(1, b'passed'); os._exit(0)",
        f"{YES}def double(x): return Yes()",
        f"{YES}def double(x): return [Yes()]",
        "class Yes:\n def __eq__(self, other): return True\ndef double(x): return Yes()",
        "class Yes(str):\n def __repr__(self): return '4'\ndef double(x): return Yes('')",
        "class Yes(list):\n def __iter__(self): return iter([1, 1])\ndef double(x): return Yes()",
        "import builtins\nbuiltins.AssertionError = Exception\nbuiltins.compile = str\ndef double(x): return 0",
        "import builtins\nbuiltins.exec = builtins.isinstance = lambda *a: True\ndef double(x): return 0",
        "import os\nos._exit = os.write = os.read = lambda *a: None\ndef double(x): return 0",
        "import atexit, os\natexit.register(lambda: os._exit(0))\nraise ValueError",
        "import signal, os\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\nsignal.alarm(1)\n"
        "def double(x): signal.pause()",
        "import os\nos.kill(os.getppid(), 9)\ndef double(x): return 0",
        "import os\ndef double(x):\n os.kill(os.getppid(), 9)",
        "import sys\ndef double(x): sys.stdout.write('passed'); return 0",
        "def double(x): raise AssertionError",
        "def double(x): return (yield)",
    ],
)
def test_tricks_do_not_pass(trick):
    judgement = judge(trick)
    assert judgement.verdict in ("runtime_error", "wrong_answer", "timeout")
    assert judgement.passed == 0


SEARCH = """
import gc, os, sys
def search():
    seen = repr([o for o in gc.get_objects() if isinstance(o, (str, bytes, dict, list, tuple))])
    frame = sys._getframe()
    while frame:
        seen += repr(frame.f_locals) + repr(frame.f_globals) + repr(frame.f_code.co_consts)
        frame = frame.f_back
    for fd in range(16):
        try:
            os.set_blocking(fd, False)
            seen += repr(os.read(fd, 10000))
        except OSError:
            pass
        finally:
            os.set_blocking(fd, True) if fd in open_fds else None
    return "".join(["nee", "dle"]) in seen
open_fds = []
for fd in range(16):
    try:
        os.fstat(fd)
        open_fds.append(fd)
    except OSError:
        pass
"""


@pytest.mark.parametrize("moment", ["found = search()\ndef double(x): return found", "def double(x): return search()"])
def test_the_program_cannot_see_the_tests(moment):
    """It looks for their text through the objects of its process, its frames and its descriptors."""
    tests = "text = 'needle'\nassert double(1) is False"
    judgement = judge(f"{SEARCH}\n{moment}", tests)
    assert (judgement.verdict, judgement.detail) == ("accepted", "")
    planted = judge(f"{SEARCH}\nhere = 'needle'\n{moment}", tests)
    assert planted.verdict == "wrong_answer"  # the search does find what is there


VALUES = [
    "None", "True", "0", "-7", "10 ** 5000", "1.5", "-0.0", "1e300", "float('inf')", "3+4j", "-1j",
    "'a\\n\\'\"\\0é\\ud800'", "b'\\xff'", "[]", "()", "(1,)", "{}", "set()", "{1, (2, 3)}", "frozenset()",
    "{frozenset({1})}", "{'a': [1, {2: (3,)}]}", "[[[]]]",
]  # fmt: skip


def test_plain_values_cross_unchanged():
    tests = "import math\n" + "\n".join(f"v = {v}; r = same(v); assert (r, type(r)) == (v, type(v)), v" for v in VALUES)
    tests += "\nassert math.isnan(same(float('nan'))) and same(1, key=2) == 1 and math.copysign(1, same(-0.0)) == -1"
    judgement = judge("def same(x, key=0): return x", tests, ["same"])
    assert (judgement.verdict, judgement.detail, judgement.stderr_tail) == ("accepted", "", "")


def test_subclasses_become_plain():
    program = "import collections, enum\nE = enum.IntEnum('E', 'A')\nP = collections.namedtuple('P', 'x')\n"
    program += "def f(): return [collections.Counter('aa'), collections.OrderedDict(b=1), E.A, P(2), True]"
    assert judge(program, "assert f() == [{'a': 2}, {'b': 1}, 1, (2,), True]", ["f"]).accepted


def test_exceptions_reach_the_tests():
    tests = "try: f(-1)\nexcept ValueError as e: assert str(e) == 'negative'\nelse: assert False"
    assert judge("def f(x): raise ValueError('negative')", tests, ["f"]).accepted
    assert judge("def f(x): raise TypeError('negative')", tests, ["f"]).verdict == "runtime_error"
    assert judge("def f(x): return x", tests, ["f"]).verdict == "wrong_answer"


def test_setup_is_for_the_tests_alone():
    tests = "assert double(helper()) == 42"
    assert judge("def double(x): return 2 * x", tests, setup="def helper(): return 21").accepted
    assert (
        judge("def double(x): return 2 * helper()", tests, setup="def helper(): return 21").verdict == "runtime_error"
    )


def test_main_block_does_not_run_and_prints_do_not_matter():
    program = "print('hello')\ndef double(x): print(x); return 2 * x\nif __name__ == '__main__': 1 / 0"
    assert judge(program).accepted


def test_wall_clock():
    judgement = judge_asserts("import time; time.sleep(9)", ["f"], "", Limits(wall_seconds=0.5))
    assert (judgement.verdict, judgement.detail) == ("timeout", "ran longer than 0.5 s")
