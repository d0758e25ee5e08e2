"""Grade a program by asserts, as HumanEval and MBPP do, where the expected values must enter the sandbox.

Covered: ``sys.exit(0)`` and ``os._exit(0)``, printing what a test runner would print, overridden builtins, objects
whose ``__eq__`` says yes, and reading the tests off the stack, the heap or a pipe: the asserts run in a process of
their own on plain copies of what the program returned (see ``_assert_harness``), and their outcome counts only with a
nonce that this process reads after the program has loaded.
Not covered: a program that knows the expected values, and attacks on the kernel.

Restrictions: arguments and results are plain values (numbers, strings, lists, tuples, dicts, sets, None), and what the
function does to its arguments in place is not seen by the tests.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import Sequence
from functools import cache
from importlib import resources

from strop.sandbox import Limits, run_python

from .code import Judgement, execution_verdict
from .syntax import syntax_error


@cache
def _harness() -> str:
    return resources.files(__package__).joinpath("_assert_harness.py").read_text(encoding="utf-8")


def judge_asserts(
    program: str | None, names: Sequence[str], tests: str, limits: Limits | None = None, setup: str = ""
) -> Judgement:
    """Run the source ``tests`` (trusted), in which ``names`` stand for the functions of ``program`` (untrusted).

    ``setup`` is trusted source that the tests need and the program need not have, run before them. One test in all:
    ``wrong_answer`` when an assert fails or chokes on a returned value, ``runtime_error`` when the program raises,
    exits, lacks a name or dies, ``timeout`` when it runs too long. The program may use ``limits.processes``; one more
    is allowed for the tests.
    """
    if program is None:
        return Judgement("no_code", 0, 1, "the answer has no Python program")
    if (error := syntax_error(program)) is not None:
        return Judgement("syntax_error", 0, 1, error, program=program)
    limits = limits or Limits()
    nonce = secrets.token_hex(16)
    frames = (program, " ".join(names), setup, tests, nonce)
    execution = run_python(
        _harness(), b"".join(map(_frame, frames)), limits.model_copy(update={"processes": limits.processes + 1})
    )

    def judged(verdict, detail="", passed=0):
        return Judgement(verdict, passed, 1, detail, execution.stderr, program)

    if (verdict := execution_verdict(execution)) is not None:
        return judged(verdict, execution.detail)
    outcome, _, rest = execution.stdout.partition("\n")
    returned_nonce, _, detail = rest.partition("\n")
    if outcome == "passed" and secrets.compare_digest(returned_nonce.encode(), nonce.encode()):
        return judged("accepted", passed=1)
    if outcome == "signal":
        number = int(detail)
        if number == signal.SIGXCPU:
            return judged("timeout", f"used more than {limits.cpu_seconds} s of CPU time")
        return judged("runtime_error", f"ended by signal {number}")
    if outcome == "failed":
        return judged("wrong_answer", detail)
    if detail.startswith("MemoryError"):
        detail = f"needed more than {limits.memory_mb} MiB of memory"
    return judged("runtime_error", detail or "the tests did not finish")


def _frame(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(4, "big") + data
