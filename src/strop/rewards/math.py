"""Whether an answer in mathematics equals a reference, by math-verify (Kydlíček 2025), in processes that can be killed.

Of several ``\\boxed{}`` the last counts, or those that stand together (`strop.rewards.boxed`); math-verify by itself
joins the last ones wherever a comma or an "and" stands between them.

math-verify reads LaTeX (``\\boxed{}`` first, ``$…$``, ``\\(…\\)``, ``\\[…\\]``) and plain expressions into sympy and
compares these. Its own timeouts are off, since they replace the process's alarm signal: here the worker's own timers
end what takes long, and one that does not even answer them ends with its process.
"""

from __future__ import annotations

import importlib.util
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from strop.common.errors import InputError

from .boxed import boxed, with_result_alone_boxed
from .pool import map_in_workers
from .reasoning import without_reasoning
from .signs import plain_signs

SECONDS = 5
"""CPU time that reading and comparing one answer may take; the process is killed at twice that."""
MOST_CHARACTERS = 20_000


@dataclass(frozen=True)
class MathVerdict:
    """``equal``, ``different``, ``no_answer`` (nothing in the answer reads as mathematics), or ``fault``: nothing is
    known, and ``detail`` says why."""

    kind: Literal["equal", "different", "no_answer", "fault"]
    detail: str = ""


def require_math_verify() -> None:
    """Raises InputError where math-verify is not installed."""
    if importlib.util.find_spec("math_verify") is None:
        raise InputError("math answers are compared by math-verify, which is not installed; run: pip install "
                         "'strop[math]'")  # fmt: skip


def math_verdicts(pairs: Sequence[tuple[str, str]], workers: int | None = None) -> list[MathVerdict]:
    """For (reference, answer) pairs, in order: whether the answer's last result equals the reference.

    A reference with boxes is read as answers are. What a model thought before it answered does not count. Raises
    InputError where math-verify is not installed.
    """
    require_math_verify()
    cleaned = [(reference, without_reasoning(answer)[-MOST_CHARACTERS:]) for reference, answer in pairs]
    killed = MathVerdict("fault", f"comparing it took more than {2 * SECONDS} s of CPU time, twice")
    return map_in_workers(_verdict, cleaned, workers, on_death=lambda pair: killed)


def _verdict(pair: tuple[str, str]) -> MathVerdict:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    for name in ("math_verify.grader", "math_verify.parser", "math_verify.utils"):  # that its timeouts are off
        logging.getLogger(name).setLevel(logging.ERROR)
    reference, answer = map(plain_signs, pair)
    reads = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    try:
        with _limited():
            expected: list[Any] = parse(boxed(reference), extraction_config=reads, parsing_timeout=None)
            if not expected:
                return MathVerdict("fault", f"the reference {reference!r:.80} cannot be read")
            read = with_result_alone_boxed(answer)
            found = parse(read, extraction_config=reads, parsing_timeout=None) if read.strip() else []
            if not found:
                return MathVerdict("no_answer")
            right = verify(expected, found, timeout_seconds=None)
            return MathVerdict("equal" if right else "different", f"{found[-1]!s:.80}")
    except _Slow:
        return MathVerdict("fault", f"comparing it took more than {SECONDS} s of CPU time")


class _Slow(BaseException):
    """No Exception, which math-verify would catch."""


@contextmanager
def _limited() -> Iterator[None]:
    """At `SECONDS` of CPU time raises `_Slow`; at twice that, where no Python code is reached, the process ends."""

    def stop(signum: int, frame: Any) -> None:
        raise _Slow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
