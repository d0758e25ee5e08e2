"""Verdicts of programs that read stdin and print."""

import subprocess
import sys
from dataclasses import dataclass, replace

import pytest

from strop.common.errors import InputError
from strop.rewards import Judgement, Score, judge_answers, judge_program, outputs_match, score_judgement
from strop.rewards.code import compile_error
from strop.sandbox import Execution, Limits

QUICK = Limits(cpu_seconds=1, wall_seconds=8.0, memory_mb=128, output_bytes=100_000)


@dataclass
class Case:
    stdin: str
    stdout: str


SUMS = [Case("1 2\n", "3\n"), Case("10 20\n", "30\n"), Case("-1 1\n", "0\n")]
RIGHT = "print(sum(map(int, input().split())))"


def judge(program, **options):
    return judge_program(program, SUMS, QUICK, **options)


def test_accepted():
    assert judge(RIGHT) == Judgement("accepted", 3, 3, "", "", RIGHT)


def test_no_code():
    assert judge(None) == Judgement("no_code", 0, 3, "the answer has no Python program")


def test_syntax_error():
    assert judge("print(") == Judgement("syntax_error", 0, 3, "'(' was never closed (line 1)", "", "print(")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("return 1", "'return' outside function (line 1)"),
        ("print(3)\nx = yield", "'yield' outside function (line 2)"),
        ("def f():\n    nonlocal x", "no binding for nonlocal 'x' found (line 2)"),
        ("print(3)\ndef f(a, a): pass", "duplicate argument 'a' in function definition (line 2)"),
        ("-" * 60_000 + "1", "too deeply nested"),
        ("a" + ".b" * 30_000, "too deeply nested"),
        ("#" + "x" * 9000 + "\nreturn 1  #" + "y" * 9000, "'return' outside function (line 2)"),
    ],
)  # fmt: skip
def test_what_only_the_compiler_refuses_is_a_syntax_error(source, error):
    judgement = judge(source)
    assert (judgement.verdict, judgement.passed, judgement.total, judgement.detail) == ("syntax_error", 0, 3, error)


@pytest.mark.parametrize(
    "source",
    [
        "raise SyntaxError('x')",
        "eval('1 1')",
        "exec('return 1')",
        "import ast\ndef f(): return ast.parse('(')\nf()",
        "raise RecursionError",
        "print(3); compile('x y', 'main.py', 'exec')",
    ],
)
def test_errors_of_a_program_that_runs_are_its_own(source):
    assert judge(source).verdict == "runtime_error"


@pytest.mark.parametrize(
    "source",
    [
        "print(3 + 0" + " + 0" * 2500 + ")",
        "if 0: 1\n" + "elif 0: 1\n" * 2500 + "else: print(3)",
        "f = lambda: " + "lambda: " * 50 + "1\nprint(3)",
    ],
)
def test_deep_programs_that_python_takes_are_run(source):
    assert judge_program(source, SUMS[:1]).verdict == "accepted"


def test_wrong_answer_counts_the_tests_that_pass():
    judgement = judge("a, b = map(int, input().split()); print(a + b if a > 0 else 7)")
    assert (judgement.verdict, judgement.passed, judgement.total) == ("wrong_answer", 2, 3)
    assert judgement.detail == "test 3 of 3: line 1 is '7', expected '0'"


def test_the_worst_test_gives_the_verdict():
    program = "a, b = map(int, input().split())\nif a == 10: print(1)\nelif a < 0: 1 / 0\nelse: print(a + b)"
    judgement = judge(program)
    assert (judgement.verdict, judgement.passed) == ("runtime_error", 1)
    assert judgement.detail.startswith("test 3 of 3: ZeroDivisionError")
    first = judge(program, stop_at_first_failure=True)
    assert (first.verdict, first.detail) == ("wrong_answer", "test 2 of 3: line 1 is '1', expected '30'")


def test_a_program_that_times_out_is_not_run_again():
    judgement = judge("a, b = map(int, input().split())\nwhile a == 10: pass\nprint(a + b)")
    assert (judgement.verdict, judgement.passed, judgement.total) == ("timeout", 1, 3)


def test_memory_that_ends_without_a_line_of_the_program_is_no_fault_of_its_syntax():
    """There is no room for the rest of the traceback."""
    judgement = judge_program("l = []\nwhile True: l = [l, 1.5, object()]", SUMS[:1], Limits(memory_mb=128))
    assert judgement.verdict in ("runtime_error", "timeout")
    stderr = 'MemoryError\n\nTraceback (most recent call last):\n  File "<string>", line 9, in <module>\nMemoryError\n'
    ended = Execution("memory_limit", "", b"", stderr, 1, None, 1.0, 1.0, "")
    assert compile_error(ended) is None
    compiled = stderr.replace("in <module>\n", 'in <module>\n  File "<string>", line 130, in _load\n')
    assert compile_error(replace(ended, stderr=compiled)) == "too deeply nested"


@pytest.mark.parametrize(
    ("name", "program", "verdict", "detail"),
    [
        ("crash", "1 / 0", "runtime_error", "ZeroDivisionError: division by zero"),
        ("right answer, then crash", f"{RIGHT}\n1 / 0", "runtime_error", "ZeroDivisionError: division by zero"),
        ("right answer, then exit 1", f"import sys\n{RIGHT}\nsys.exit(1)", "runtime_error", "exited with status 1"),
        ("exit 0 before printing", f"import sys\nsys.exit(0)\n{RIGHT}", "wrong_answer", "line 1 is '', expected '3'"),
        ("os._exit(0)", f"import os\nos._exit(0)\n{RIGHT}", "wrong_answer", "line 1 is '', expected '3'"),
        ("endless loop", f"{RIGHT}\nwhile True: pass", "timeout", "used more than 1 s of CPU time"),
        ("memory", "x = bytearray(10**9)", "runtime_error", "needed more than 128 MiB of memory"),
        ("output", "while True: print(3)", "runtime_error", "printed more than 100000 bytes"),
        ("fork", "import os\ntry: os.fork()\nexcept OSError: exit(7)", "runtime_error", "exited with status 7"),
        ("self-kill", f"{RIGHT}\nimport os; os.kill(os.getpid(), 9)", "runtime_error", "ended by signal SIGKILL"),
        ("recursion", "def f(): f()\nf()", "runtime_error", "RecursionError: maximum recursion depth exceeded"),
        ("closed stdout", "import os; os.close(1)", "wrong_answer", "line 1 is '', expected '3'"),
        ("invalid UTF-8", "import os; os.write(1, b'3\\xff')", "wrong_answer", "line 1 is '3\\\\xff', expected '3'"),
        ("answer on stderr", "import sys; print(3, file=sys.stderr)", "wrong_answer", "line 1 is '', expected '3'"),
        ("passed", "print('passed')", "wrong_answer", "line 1 is 'passed', expected '3'"),
    ],
)  # fmt: skip
def test_failures(name, program, verdict, detail):
    judgement = judge_program(program, SUMS[:1], QUICK)
    assert (judgement.verdict, judgement.passed, judgement.detail) == (verdict, 0, f"test 1 of 1: {detail}")


def test_bytes_are_compared():
    write = "import os; os.write(1, {!r})"
    cases = [Case("", "\\xff\n")]
    assert judge_program(write.format(b"\xff\n"), cases).verdict == "wrong_answer"
    assert judge_program(write.format(b"\\xff\n"), cases).verdict == "accepted"
    assert judge_program("print('\xe9')", [Case("", "\xe9\n")]).verdict == "accepted"


def test_wall_clock():
    judgement = judge_program(f"{RIGHT}\nimport time; time.sleep(9)", SUMS[:1], Limits(wall_seconds=0.5))
    assert (judgement.verdict, judgement.detail) == ("timeout", "test 1 of 1: ran longer than 0.5 s")


def test_stderr_is_kept():
    assert judge("import sys; sys.exit('because')").stderr_tail == "because\n"


def test_no_tests_is_a_mistake():
    with pytest.raises(InputError, match="without tests"):
        judge_program(RIGHT, [])


@pytest.mark.parametrize(
    ("actual", "expected", "same"),
    [
        ("1\n2\n", "1\n2", True),
        ("1  \r\n2\t\n\n\n", "1\n2\n", True),
        ("", "\n", True),
        ("1 2", "1  2", False),
        (" 1", "1", False),
        ("\n1", "1", False),
        ("1\n\n2", "1\n2", False),
        ("1.0", "1", False),
        ("YES", "yes", False),
        (b"3\n", "3", True),
        (b"\xff", "\\xff", False),  # one byte, and four characters
        (b"\xff", "\xff", False),  # which is two bytes in UTF-8
        (b"\xc3\xbf \r\n", "\xff", True),
        (b"1\xc2\xa0", "1", True),
        (b"1\xa0", "1", False),
        ("\ud83d", "\ud83d", True),
        (b"\xed\xa0\xbd", "\ud83d", True),
    ],
)
def test_outputs_match(actual, expected, same):
    assert outputs_match(actual, expected) is same


def test_answers_keep_their_order():
    answers = [(f"```python\n{RIGHT}\n```" if i % 3 else "I do not know.", SUMS[: 1 + i % 2]) for i in range(9)]
    judgements = judge_answers(answers, QUICK, workers=3)
    assert [j.verdict for j in judgements] == ["no_code", "accepted", "accepted"] * 3
    assert [j.total for j in judgements] == [1 + i % 2 for i in range(9)]
    assert judge_answers([], QUICK) == []


def test_score():
    judgement = judge("print(3)")
    parts = {"accepted": 0.0, "pass_ratio": 1 / 3, "verdict/wrong_answer": 1.0}
    reason = "wrong_answer: test 2 of 3: line 1 is '3', expected '30'"
    assert score_judgement(judgement) == Score(0.0, parts, reason)
    assert score_judgement(judgement, by="pass_ratio").value == 1 / 3
    assert score_judgement(judge(RIGHT)) == Score(
        1.0, {"accepted": 1.0, "pass_ratio": 1.0, "verdict/accepted": 1.0}, "accepted"
    )


@pytest.mark.parametrize(("verdict", "value"), [("accepted", 1.0), ("no_answer", 0.0)])
def test_a_judgement_without_tests_scores_by_acceptance(verdict, value):
    assert score_judgement(Judgement(verdict, 0, 0), by="pass_ratio").value == value


@pytest.mark.parametrize("module", ["strop.sandbox", "strop.rewards", "strop.tasks.humaneval"])
def test_no_torch(module):
    code = f"import sys, {module}; print({{'torch', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
