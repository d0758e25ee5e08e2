"""The judge: runs programs on tests inside the sandbox and compares their output outside of it.

A test is anything with the strings ``stdin`` and ``stdout``. A program passes a test when it exits with status 0 within
its limits and its output is, byte for byte, the UTF-8 of the expected one; but white space at the end of lines and
newlines at the end of the text do not count (``1.0`` is not ``1``). Each test is a fresh process: a program never sees
another test's input, nor any expected output. The worst test gives the program its verdict: a runtime error before a
timeout before a wrong answer, so ``wrong_answer`` means that the program ran to its end on every test.

Programs are compiled in the sandbox alone. What only the compiler refuses (``return`` outside of a function, a source
nested too deep) is told by the traceback of a program of which no line has run, and is a ``syntax_error`` as well; a
program that prints such a traceback has failed either way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from strop.common.errors import InputError
from strop.sandbox import Execution, Limits, run_python

from .extract import extract_program
from .pool import JudgeFault, map_in_workers
from .syntax import syntax_error

# judge_fault: the judge itself failed, so nothing is known about the answer. no_answer: it holds none of what was
# asked for.
Verdict = Literal[
    "no_code", "syntax_error", "runtime_error", "timeout", "wrong_answer", "accepted", "judge_fault", "no_answer"
]
SYNTAX_ERRORS = ("SyntaxError", "IndentationError", "TabError")
# Lines of a traceback: of the program as it ran, of the launcher as it had it compiled, and where the compiler stopped.
_RAN = re.compile(r'^ +File "main\.py", line \d+, in ', re.MULTILINE)
_COMPILED = re.compile(r'^ +File "<string>", line \d+, in _load$', re.MULTILINE)
_COMPILED_LINE = re.compile(r'^ +File "main\.py", line (\d+)$', re.MULTILINE)


class StdioTest(Protocol):
    @property
    def stdin(self) -> str: ...

    @property
    def stdout(self) -> str: ...


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    passed: int  # tests passed
    total: int  # tests that there are, including those not run after an early stop
    detail: str = ""  # one line for people about the test that gave the verdict
    stderr_tail: str = ""  # of the same test
    program: str | None = None
    parts: dict[str, float] = field(default_factory=dict)  # what else the grader says, each in [0, 1]

    @property
    def accepted(self) -> bool:
        return self.verdict == "accepted"


def outputs_match(actual: str | bytes, expected: str | bytes) -> bool:
    """Equal but for white space at the end of lines and newlines at the end of the text. Text counts as its UTF-8."""
    return _canonical(actual) == _canonical(expected)


def _canonical(output: str | bytes) -> list[str]:
    """Lines without white space at their ends. Every byte that is no UTF-8 stays a character of its own."""
    data = output.encode("utf-8", "surrogatepass") if isinstance(output, str) else output
    return [line.rstrip() for line in data.decode("utf-8", "surrogateescape").rstrip().split("\n")]


def judge_program(
    program: str | None, tests: Sequence[StdioTest], limits: Limits | None = None, stop_at_first_failure: bool = False
) -> Judgement:
    """Judge one program (None: the answer held none). Raises InputError when there are no tests.

    A program that times out is not run on the tests that are left; they count as not passed. With
    ``stop_at_first_failure`` that holds for every failure, and the verdict is the first one's: use it where nothing but
    acceptance is wanted.
    """
    if not tests:
        raise InputError("a program cannot be judged without tests; give the task at least one")
    if program is None:
        return Judgement("no_code", 0, len(tests), "the answer has no Python program")
    if (error := syntax_error(program)) is not None:
        return Judgement("syntax_error", 0, len(tests), error, program=program)
    passed = 0
    failures: dict[Verdict, tuple[str, str]] = {}  # the first of each kind: detail, stderr
    for number, test in enumerate(tests, start=1):
        execution = run_python(program, test.stdin, limits)
        if (error := compile_error(execution)) is not None:
            return Judgement("syntax_error", 0, len(tests), error, execution.stderr, program)
        verdict = execution_verdict(execution)
        if verdict is None and outputs_match(execution.stdout_bytes, test.stdout):
            passed += 1
            continue
        detail = execution.detail or _first_difference(execution.stdout_bytes, test.stdout)
        failures.setdefault(verdict or "wrong_answer", (f"test {number} of {len(tests)}: {detail}", execution.stderr))
        if stop_at_first_failure or verdict == "timeout":
            break
    for verdict in ("runtime_error", "timeout", "wrong_answer"):  # the worst first
        if verdict in failures:
            return Judgement(verdict, passed, len(tests), *failures[verdict], program)
    return Judgement("accepted", passed, len(tests), program=program)


def execution_verdict(execution: Execution) -> Verdict | None:
    """The verdict that an execution earns whatever it printed; None when it ended well."""
    return {"ok": None, "timeout": "timeout"}.get(execution.status, "runtime_error")


def compile_error(execution: Execution) -> str | None:
    """Why the compiler refused the program, in one line; None when it did not."""
    stderr = execution.stderr.rstrip()
    if execution.exit_code != 1 or execution.stdout_bytes or _RAN.search(stderr) or not _COMPILED.search(stderr):
        return None
    kind, _, message = stderr.rpartition("\n")[2].partition(": ")
    if kind in SYNTAX_ERRORS:
        lines = _COMPILED_LINE.findall(stderr)
        return f"{message} (line {lines[-1]})" if lines else message
    return "too deeply nested" if kind.strip() in ("RecursionError", "MemoryError") else None


def _first_difference(actual: bytes, expected: str) -> str:
    got, want = _canonical(actual), _canonical(expected)
    for line, (a, b) in enumerate(zip(got, want, strict=False), start=1):
        if a != b:
            return f"line {line} is {_shown(a)!r}, expected {_shown(b)!r}"
    return f"{len(got)} lines, expected {len(want)}"


def _shown(line: str) -> str:
    """What people are shown of a line: bytes that are no UTF-8 as ``\\xNN``."""
    return line[:60].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def judge_answers(
    answers: Iterable[tuple[str, Sequence[StdioTest]]],
    limits: Limits | Sequence[Limits | None] | None = None,
    workers: int | None = None,
    stop_at_first_failure: bool = False,
) -> list[Judgement]:
    """Judge (answer, tests) pairs in ``workers`` processes (default: the CPUs this process may use), in order.

    ``limits`` are those of each test, the same for all pairs or one for each. More workers than CPUs makes programs
    miss ``wall_seconds`` that would have met it.
    """
    answers = list(answers)
    each = limits if isinstance(limits, Sequence) else [limits] * len(answers)
    pairs = [
        (answer, tuple(tests), own, stop_at_first_failure) for (answer, tests), own in zip(answers, each, strict=True)
    ]
    return map_in_workers(_judge_answer, pairs, workers, on_death=lambda pair: judge_fault(len(pair[1])))


def _judge_answer(pair: tuple[str, tuple[StdioTest, ...], Limits | None, bool]) -> Judgement:
    answer, tests, limits, stop_at_first_failure = pair
    return judge_program(extract_program(answer), tests, limits, stop_at_first_failure)


def judge_fault(total: int = 1) -> Judgement:
    """What is said of an answer that the judge's own process died on twice."""
    return Judgement(
        "judge_fault", 0, total, "the judge's own process died twice on this answer: nothing is known of it"
    )


@dataclass(frozen=True)
class Score:
    """What every grader returns: one number, the named numbers that it was made of, and a line for people."""

    value: float
    parts: dict[str, float] = field(default_factory=dict)
    reason: str = ""


def score_judgement(judgement: Judgement, by: Literal["accepted", "pass_ratio"] = "accepted") -> Score:
    """A Score whose value is 1 or 0 by acceptance, or the share of tests passed; both are parts, and the verdict.
    Of no tests at all, as a grader of one's own may have it, acceptance is the share.

    Raises JudgeFault for an answer of which nothing is known: that is no reward of 0.
    """
    if judgement.verdict == "judge_fault":
        raise JudgeFault(judgement.detail)
    pass_ratio = judgement.passed / judgement.total if judgement.total else float(judgement.accepted)
    parts = {"accepted": float(judgement.accepted), "pass_ratio": pass_ratio}
    reason = judgement.verdict + (f": {judgement.detail}" if judgement.detail else "")
    return Score(parts[by], {**parts, f"verdict/{judgement.verdict}": 1.0}, reason)
