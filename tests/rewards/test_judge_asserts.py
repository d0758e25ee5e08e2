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


def test_the_program_cannot_tell_tests_by_their_size():
    """It can ask how long its parent's input is."""
    program = "import os\ndef size(): return os.stat(f'/proc/{os.getppid()}/fd/0').st_size"
    for count in (1, 2000):
        assert judge(program, "assert size() == 65536, size()\n" + "# more\n" * count, ["size"]).detail == ""
    assert judge(program, "assert size() == 131072, size()\n" + "# more\n" * 10000, ["size"]).accepted


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


LIBRARY = [
    "Fraction(1, 3)", "Fraction(10 ** 4000, 3)", "Decimal('1.10')", "Decimal('-0')", "Decimal('Infinity')", "range(5)",
    "range(10 ** 30, 0, -7)", "bytearray(b'x')", "deque([1, [2]])", "deque([1, 2], 2)", "Counter('aab')",
    "OrderedDict(b=1, a=2)", "{1: 2}.keys()", "{1: 2}.items()", "date(2020, 2, 29)", "time(1, 2, 3, 4, fold=1)",
    "timedelta(-1, 5, 7)", "datetime(2020, 1, 1)", "datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2), 'X'))",
    "timezone.utc", "[Fraction(1), {'a': deque()}]",
]  # fmt: skip
IMPORTS = """
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
"""


def test_values_of_the_standard_library_cross_unchanged():
    lines = (f"v = {v}; r = same(v); assert (r, type(r), repr(r)) == (v, type(v), repr(v)), v" for v in LIBRARY)
    tests = (
        IMPORTS + "\n".join(lines) + "\nassert list(same({1: 2}.values())) == [2]\nassert same(Decimal('NaN')).is_nan()"
    )
    judgement = judge("def same(x): return x", tests, ["same"])
    assert (judgement.verdict, judgement.detail, judgement.stderr_tail) == ("accepted", "", "")


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def f(): return Fraction(1, 2)", "assert f() == 0.5 and abs(f() - 1.5) == 1 and f() + 1 == Fraction(3, 2)"),
        ("def f(): return Decimal('2')", "assert f() == 2"),
        ("def f(): return range(3)", "assert f() == range(3) and f() != [0, 1, 2]"),
        ("def f(): return {1: 2}.keys()", "assert f() == {1} and f() != [1]"),
        ("def f(): return bytearray(b'a')", "assert f() == b'a'"),
        ("def f(): return OrderedDict(b=1, a=2)", "assert f() == dict(a=2, b=1) and f() != OrderedDict(a=2, b=1)"),
        ("def f(): return Counter('aab')", "assert f().most_common(1) == [('a', 2)] and f()['x'] == 0"),
        ("def f(): return defaultdict(lambda: 7, {1: 2})", "assert f() == {1: 2}"),
        ("P = namedtuple('P', 'x y')\ndef f(): return P(1, 2)", "assert f() == (1, 2) and f().y == 2"),
        ("P = namedtuple('P', 'x 1', rename=True)\ndef f(): return P(1, 2)", "assert f() == (1, 2)"),
        (
            "def f(): return date(2020, 1, 2)",
            "assert f() == date(2020, 1, 2) and f() - date(2020, 1, 1) == timedelta(1)",
        ),
    ],
)
def test_values_of_the_standard_library_are_compared_as_such(program, tests):
    judgement = judge(IMPORTS + program, IMPORTS + tests, ["f"])
    assert (judgement.verdict, judgement.detail) == ("accepted", "")


def test_what_a_function_does_to_its_arguments_is_seen():
    program = """
def change(numbers, words, seen, data, last):
    numbers.sort(); words['new'] = numbers.pop(); seen.add(7); data += b'!'; last.append(5)
def first(rows): rows[0].append(1); rows.append([2]); return rows[0]
def look(rows): return len(rows)
def put(numbers): numbers.append(object())
"""
    tests = """
from collections import deque
a, b, c, d, e = [3, 1, 2], {'old': 0}, {1}, bytearray(b'x'), deque([1, 2], 2)
change(a, b, c, d, e)
assert (a, b, c, d, e) == ([1, 2], {'old': 0, 'new': 3}, {1, 7}, b'x!', deque([2, 5]))
row = []
rows = [row, row]
assert first(rows) is row and row == [1] and rows == [row, row, [2]] and rows[1] is row
words = {1: 2}
for key in words:
    assert look(words) == 1
put(row)
assert len(row) == 2 and row[1] != 1
loop = [1]
loop.append(loop)
assert look(loop) == 2
"""
    judgement = judge(program, tests, ["change", "first", "look", "put"])
    assert (judgement.verdict, judgement.detail, judgement.stderr_tail) == ("accepted", "", "")


def test_functions_and_iterators_of_the_tests_are_called_there():
    program = """
def apply(f, *args): return f(*args)
def total(numbers): return sum(numbers)
def careful(f):
    try: f()
    except KeyError: return 'caught'
def count(f, n): return n and 1 + f(n - 1)
"""
    tests = """
import functools, operator
seen = []
assert apply(lambda x: seen.append(x) or x + 1, [2][0]) == 3 and seen == [2]
assert apply(len, 'ab') == 2 and apply(operator.add, 1, 2) == 3 and apply(str.upper, 'a') == 'A'
assert apply(functools.partial(lambda a, b: a - b, 2), 3) == -1 and apply(seen.count, 2) == 1 and apply(int, '4') == 4
assert total(x * x for x in range(4)) == 14 and total(iter([1, 2])) == 3 and total(map(abs, [-1, 2])) == 3
def fails(): raise KeyError(1)
assert careful(fails) == 'caught'
assert count(lambda n: count(lambda m: m, n), 3) == 3
same = lambda x: x
assert apply(same, same) is same and apply(same, apply) == apply
"""
    judgement = judge(program, tests, ["apply", "total", "careful", "count"])
    assert (judgement.verdict, judgement.detail, judgement.stderr_tail) == ("accepted", "", "")


@pytest.mark.parametrize(
    ("made", "kind"), [("Own()", "Own"), ("Own", "type"), ("slice(1)", "slice"), ("io.StringIO()", "StringIO")]
)
def test_what_tests_cannot_give_is_a_fault_of_the_judge(made, kind):
    tests = f"import io\nclass Own: pass\ntry: assert f([{made}]) == 1\nexcept BaseException: pass"
    judgement = judge("def f(x): return 1", tests, ["f"])
    said = f"the tests give the program a {kind}, which cannot be handed over to it"
    assert (judgement.verdict, judgement.detail, judgement.passed) == ("judge_fault", said, 0)


OWN = """
import enum
class P:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return isinstance(other, P) and self.x == other.x
    def __hash__(self): return hash(self.x)
class Yes:
    def __eq__(self, other): return True
class Color(enum.Enum): RED, BLUE = 1, 2
LIMIT, NAMES = 3, ['a']
def p(x): return P(x)
def yes(): return Yes()
def red(): return Color.RED
def kept(): return NAMES
"""


def test_objects_of_classes_that_the_tests_name_are_compared_as_those_say():
    tests = "assert p(1) == P(1) != p(2) and {p(1), P(1)} == {P(1)} and [p(1)] == [P(1)] and p(1) is not p(1)\n"
    tests += "assert p(1) != 1 and not p(1) == None"
    assert judge(OWN, tests, ["P", "p"]).accepted
    assert judge(OWN, "assert p(1) != p(1)", ["p"]).accepted  # it is nobody's to say
    assert judge(OWN, "assert yes() != yes() and yes() != 4 and yes() != p(1)", ["yes", "p"]).accepted
    assert judge(OWN, "assert Yes() != 4 and 4 != yes()", ["Yes", "yes"]).accepted


def test_an_object_is_the_same_whenever_it_comes():
    tests = "assert red() is Color.RED and red() == Color.RED != Color.BLUE and Color['RED'] is red()"
    assert judge(OWN, tests, ["Color", "red"]).accepted


def test_names_of_the_tests_may_be_values_of_the_program():
    assert judge(OWN, "assert LIMIT + 1 == 4 and NAMES == ['a'] == kept()", ["LIMIT", "NAMES", "kept"]).accepted
    judgement = judge(OWN, "assert p(nothing) == 1", ["p", "nothing"])
    assert judgement.verdict == "runtime_error"
    assert judgement.detail == "AttributeError: module 'solution' has no attribute 'nothing'"


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


TREE = """
class Node:
    def __init__(self, data):
        self.data, self.left = data, None
def height(node):
    return 0 if node is None else 1 + height(node.left)
def longest(pairs):
    return max(pair.data for pair in pairs)
"""


@pytest.mark.parametrize(
    ("program", "names", "tests", "setup"),
    [
        ("def without(x, kind): return [v for v in x if not isinstance(v, kind)]", ["without"],
         "assert without((4, 7.7, 'a'), int) == [7.7, 'a'] and without([None], type(None)) == []", ""),
        ("import sys\ndef size(x): return sys.getsizeof(x)", ["size"], "assert size((1,)) == sys.getsizeof((1,))", ""),
        ("from math import pi\ndef area(r): return pi * r", ["area"], "assert area(2) == 2 * pi", ""),
        (TREE, ["Node", "longest"], "assert longest([Node(5), Node(24)]) == 24", ""),
        (TREE, ["Node", "height"], "assert height(r) == 2 and r.left.data == 2", "r = Node(1)\nr.left = Node(2)"),
    ],
    ids=["types", "module of the program", "name of the program's import", "class in the tests", "class in the set-up"],
)  # fmt: skip
def test_tests_may_use_what_the_program_defines(program, names, tests, setup):
    judgement = judge(program, tests, names, setup=setup)
    assert (judgement.verdict, judgement.detail) == ("accepted", "")


def test_a_module_under_another_name_is_not_the_tests():
    """The program would choose what stands under the name."""
    program = "from unittest import mock as sys\ndef size(x): return 0"
    judgement = judge(program, "assert size((1,)) == sys.getsizeof((1,))", ["size"])
    assert (judgement.verdict, judgement.detail) == ("wrong_answer", "NameError: name 'sys' is not defined")


def test_objects_of_the_program_are_used_through_handles():
    program = """
class Stack:
    def __init__(self): self.items = []
    def push(self, x): self.items.append(x); return self
    def __len__(self): return len(self.items)
    def __getitem__(self, i): return self.items[i]
    def __str__(self): return "stack " + str(self.items)
def numbers(n): yield from range(n)
"""
    tests = """
s = Stack().push(1).push("a")
assert len(s) == 2 and s[0] == 1 and s[-1] == "a" and str(s) == "stack [1, 'a']" and s and not Stack()
assert list(s) == [1, "a"] and s.items == [1, "a"]
assert list(numbers(3)) == [0, 1, 2] and next(numbers(1)) == 0
assert s == s and s != Stack() and s != 4 and s not in (4, [], None)
for missing in (lambda: s.nothing, lambda: len(numbers(1)), lambda: s["a"]):
    try:
        missing()
        assert False
    except (AttributeError, TypeError):
        pass
"""
    judgement = judge(program, tests, ["Stack", "numbers"])
    assert (judgement.verdict, judgement.detail, judgement.stderr_tail) == ("accepted", "", "")


def test_an_exception_of_its_own_is_the_builtin_one_that_it_extends():
    program = "class Small(ValueError): pass\ndef f(x): raise Small('negative')"
    tests = "try: f(-1)\nexcept ValueError as e: assert str(e) == 'negative'\nelse: assert False"
    assert judge(program, tests, ["f"]).accepted
    judgement = judge(program, "assert f(1) == 1", ["f"])
    assert (judgement.verdict, judgement.detail) == ("runtime_error", "Small: negative")


@pytest.mark.parametrize(
    ("raised", "kind", "holds"),
    [
        ("KeyError('a')", "KeyError", "str(e) == \"'a'\" and e.args == ('a',)"),
        ("ValueError('bad', [1, (2,)])", "ValueError", "e.args == ('bad', [1, (2,)])"),
        ("b'a\\xff'.decode()", "UnicodeDecodeError", "(e.object, e.start, e.reason[:7]) == (b'a\\xff', 1, 'invalid')"),
        ("b'\\xff'.decode()", "ValueError", "'0xff' in str(e)"),
        ("FileNotFoundError(2, 'none', 'x')", "OSError", "e.errno == 2 and e.filename == 'x'"),
        ("Own(3)", "ValueError", "str(e) == 'three' and e.args == ('three',)"),
        ("Own(object())", "ValueError", "str(e) == 'three'"),
        ("ExceptionGroup('two', [ValueError(1)])", "Exception", "str(e) == 'two (1 sub-exception)'"),
    ],
)
def test_exceptions_are_made_of_what_they_were_made_of(raised, kind, holds):
    program = "class Own(ValueError):\n def __str__(self): return 'three'\ndef raised(e): raise e\n"
    program += f"def f():\n e = {raised}\n raise e"
    tests = f"try: f()\nexcept {kind} as e: assert {holds}, repr(e)\nelse: assert False"
    judgement = judge(program, tests, ["f"])
    assert judgement.accepted, judgement.detail
    # the other way: the tests' function raises it, the program asks
    program = f"def g(f):\n try: f()\n except {kind} as e: return bool({holds})"
    tests = "class Own(ValueError):\n def __str__(self): return 'three'\n"
    tests += f"def f():\n e = {raised}\n raise e\nassert g(f)"
    judgement = judge(program, tests, ["g"])
    assert judgement.accepted, judgement.detail


def test_functions_recurse_as_deep_as_in_a_script():
    program = "def f(n): return 0 if n == 0 else 1 + f(n - 1)"
    assert judge(program, "assert f(998) == 998", ["f"]).accepted
    assert judge(program, "assert f(1100) == 1100", ["f"]).verdict == "runtime_error"


VECTOR = """
class V:
    def __init__(self, v): self.v = v
    def __add__(self, other): return V(self.v + getattr(other, "v", 0))
    def __sub__(self, other): return 0
    def __abs__(self): return abs(self.v)
    def __lt__(self, other): return self.v < getattr(other, "v", 9)
    def __eq__(self, other): return self.v == other.v
    def __repr__(self): return f"V({self.v})"
    def __setitem__(self, key, value): self.v = value
    def __delitem__(self, key): self.v = None
    def __enter__(self): self.v = 1
    def __exit__(self, *error): self.v = 2; return True
    def __contains__(self, item): return True
class W(V): pass
def made(v): return V(v)
"""


def test_objects_of_classes_that_the_tests_name_are_combined_as_those_say():
    tests = """
assert V(1) + V(2) == made(3) and V(1) < V(2) and V(2) > V(1) and abs(V(-2)) == 2 and repr(made(2)) == "V(2)"
v = made(5)
v["a"] = 6
assert v.v == 6
del v["a"]
assert v.v is None
with v: assert v.v == 1
assert v.v == 2
assert isinstance(v, V) and not isinstance(v, W) and issubclass(W, V) and not isinstance(2, V)
"""
    judgement = judge(VECTOR, tests, ["V", "W", "made"])
    assert judgement.accepted, judgement.detail


@pytest.mark.parametrize(
    "holds", ["V(1) + 2", "2 + V(1)", "abs(V(2) - 2) < 1e-6", "V(1) < 2", "2 > V(1)", "2 in V(1)", "V(1) == 1"]
)
def test_objects_of_the_program_say_nothing_to_values_of_the_tests(holds):
    assert judge(VECTOR, f"assert {holds}", ["V"]).verdict in ("wrong_answer", "runtime_error")
    assert judge(VECTOR, "assert made(1) + made(2)", ["made"]).verdict == "wrong_answer"  # V is not named


def test_what_the_tests_raise_is_not_swallowed_by_the_program():
    assert judge(VECTOR, "with V(1): assert False", ["V"]).verdict == "wrong_answer"


QUIET = {
    "StopIteration": "for got, want in zip(map(f, [1, 2]), [2, 4]): assert got == want",
    "IndexError": "class S:\n def __getitem__(self, i): return f(i)\nfor got in S(): assert got is None",
    "AttributeError": "class S:\n @property\n def x(self): return f(1)\nassert getattr(S(), 'x', 4) == 4",
}


@pytest.mark.parametrize("kind", QUIET)
def test_exceptions_of_the_program_end_no_loop_of_the_tests(kind):
    for program in (f"def f(x): raise {kind}", f"class E({kind}): pass\ndef f(x): raise E"):
        assert judge(program, QUIET[kind], ["f"]).verdict == "runtime_error"


@pytest.mark.parametrize("kind", QUIET)
def test_exceptions_that_the_tests_wait_for_reach_them(kind):
    for wait in (f"except {kind}: pass", f"except (KeyError, {kind}): pass"):
        tests = f"try:\n    f(1)\n    assert False, 'nothing raised'\n{wait}"
        assert judge(f"def f(x): raise {kind}", tests, ["f"]).accepted
        assert judge("def f(x): return x", tests, ["f"]).verdict == "wrong_answer"


def test_what_the_tests_raise_themselves_is_not_waited_for():
    tests = "class S:\n def __getitem__(self, i):\n  if i == 2: raise IndexError\n  return f(i) == i\n"
    tests += "for right in S(): assert right"
    assert judge("def f(x): return x", tests, ["f"]).accepted
    assert judge("def f(x): raise IndexError", tests, ["f"]).verdict == "runtime_error"


def test_large_and_deep_values_cross():
    program = "def many(n): return list(range(n))\ndef deep(n):\n x = []\n for _ in range(n): x = [x]\n return x"
    tests = "assert many(1_000_000) == list(range(1_000_000))\n"
    tests += "x, n = deep(250), 0\nwhile x: x, n = x[0], n + 1\nassert n == 250"
    assert judge_asserts(program, ["many", "deep"], tests).accepted


REPLIES = [
    "=", "=4 4", "=[4]", '={"a": 4}', '=["o", Infinity]', '=["o", "x"]', '=["i", 5]', '=["d", 1]', '=["s", ["l", 1]]',
    '=["T", "eval"]', '=["T", ["l"]]', '=["b", "x"]', '=["c", "x", 1]', "=" + '["l",' * 9000, "=" + "9" * 9000, "", "?",
    '=["o",0]', '=["o",true,true]', '=["F",1]', '=["D","x"]', '=["E","datetime"]', '=["n",["x","class"],1]', '=["@",7]',
    '~4', '~["l",4,["l"]]', '~["l",4,["l",["l"],["l"]]]', '?4', '?["l",0,["t"],["d"]]', '?["l","x",4,4]', '=["x",0]',
    "!", "!SystemExit\0SystemExit\0", "!UnicodeDecodeError\0UnicodeDecodeError\0x", "!x\0eval\0x", "!AssertionError",
]  # fmt: skip


@pytest.mark.parametrize("reply", REPLIES)
def test_forged_replies_neither_pass_nor_crash_the_judge(reply):
    program = f"""
import os, stat, time
reply = {reply!r}.encode()
def double(x):
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.write(fd, len(reply).to_bytes(4, "big") + reply)
        except OSError:
            pass
    os._exit(0)
"""
    judgement = judge(program)
    assert judgement.verdict in ("runtime_error", "wrong_answer")
    assert "most recent call last" not in judgement.stderr_tail  # the tests' process came to its own end
