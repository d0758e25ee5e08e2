"""What is measured, in one table: what each metric means, its unit, which direction is good, how far it may fall."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

TASK, KEPT, FAILED = "What was trained for", "What should be kept", "How answers failed"
PART, ENDED, OTHER = "Where the problems come from", "How answers ended", "Other measurements"
GROUPS = (TASK, PART, KEPT, FAILED, ENDED, OTHER)
"""In the order of the page."""

VERDICTS = {
    "accepted": "every test passed",
    "wrong_answer": "ran, but printed or returned something else",
    "runtime_error": "raised an exception",
    "timeout": "did not finish in time",
    "syntax_error": "is not valid Python",
    "no_code": "the answer holds no program",
}


Better = Literal[1, 0, -1]


@dataclass(frozen=True)
class Metric:
    """``better``: +1 higher is better, -1 lower is better, 0 neither. ``bound``: the worsening that is allowed, in the
    metric's own unit, or with ``relative`` as a share of the value before. ``lead``: the lowest leads the report.
    ``by_source``: also given for each source of the items. ``value``: of one answer's result, in [0, 1] for a rate;
    ``of_item`` instead: of all answers to one item. ``weight``: the field of a result by which it
    counts, e.g. ``total``; all alike by default. ``per``: of documents, what the loss is divided by (``tokens``,
    ``bytes``), in units of ``nats`` nats; ``exp``: its exponential is given."""

    name: str
    about: str = ""
    unit: Literal["rate", "nats", "number"] = "number"
    better: Better = 0
    group: str = OTHER
    bound: float | None = None
    relative: bool = False
    lead: int | None = None
    by_source: bool = False
    value: Callable[[Any], float] | None = field(default=None, compare=False, repr=False)
    of_item: Callable[[Sequence[Any]], float] | None = field(default=None, compare=False, repr=False)
    weight: str | None = None
    per: Literal["tokens", "bytes"] = "tokens"
    nats: float = 1.0
    exp: bool = False

    def of_user(self, prefix: str) -> Metric:
        """The same of a file of the user's own (``mine_accepted@1``): nobody said that it is to be kept."""
        group = self.group if self.group in (FAILED, ENDED) else OTHER
        return replace(self, name=prefix + self.name, group=group, bound=None) if prefix else self

    def of_source(self, source: str) -> Metric:
        """The same, of the items from one source."""
        group = OTHER if self.group == OTHER else PART
        about = f"the same, of the problems from {source}"
        return replace(self, name=f"{self.name}/{source}", about=about, group=group, bound=None, lead=None)

    def allowed(self, before: float) -> float | None:
        """The worsening allowed from ``before`` on, a positive number in the metric's unit; None without a bound."""
        return None if self.bound is None else self.bound * (before if self.relative else 1)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: all but how it is computed."""
        kept = asdict(replace(self, value=None, of_item=None))
        return {name: value for name, value in kept.items() if name not in ("value", "of_item")}


def _rate(name: str, about: str, value: Callable[[Any], float], group: str = TASK, better: Better = 1, **how) -> Metric:
    return Metric(name, about, "rate", better, group, value=value, **how)


def pass_at_k(n: int, right: int, k: int) -> float:
    """The chance that at least one of ``k`` answers is right, of ``n`` drawn of which ``right`` are:
    1 - C(n-right, k) / C(n, k), unbiased (Chen et al. 2021, arXiv:2107.03374, equation 1).

    Raises ValueError for k > n.
    """
    if not 0 <= right <= n or not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {n} answers, {right} of them right, is not defined")
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def pass_at(k: int) -> Metric:
    """The metric pass@k of a task whose items get several answers each."""

    def value(results: Sequence[Any]) -> float:
        return pass_at_k(len(results), sum(map(_is_accepted, results)), k)

    return Metric(f"pass@{k}", f"items solved by at least one of {k} answers", "rate", 1, of_item=value)


def _is_accepted(result: Any) -> bool:
    return result.verdict == "accepted"


def _ran(result: Any) -> bool:
    """A program was found, compiles, and no test ended in a runtime error or a timeout."""
    return result.verdict in ("accepted", "wrong_answer")


def _is_verdict(name: str) -> Callable[[Any], float]:
    return lambda result: result.verdict == name


_BETTER: dict[str, Better] = {"accepted": 1, "wrong_answer": 0}
PASS_AT_1 = _rate("pass@1", "problems solved by the one answer", _is_accepted, OTHER, lead=2)

PROGRAM_METRICS = (
    _rate("accepted@1", "items whose one answer passed every test", _is_accepted, lead=0, by_source=True),
    _rate("pass_ratio", "share of an item's tests that passed, mean over items", lambda r: r.passed / r.total, lead=4),
    _rate("exec_success_rate", "answers whose program ran without an error", _ran, lead=3, by_source=True),
    _rate("format_rate", "answers that end by themselves and hold one Python block", lambda r: r.well_formed),
    *(
        # A wrong answer is neither good nor bad in itself: a program that used to crash and now runs is progress.
        _rate(f"verdict/{name}", about, _is_verdict(name), FAILED, _BETTER.get(name, -1))
        for name, about in VERDICTS.items()
    ),
)
"""Of answers that are programs; all are shares in [0, 1]."""

NO_ANSWER = _rate(
    "no_answer_rate",
    "answers in which none was found: no number, no option, no program; or none could be asked for, for its length",
    lambda r: r.verdict in ("no_answer", "no_code"),
    FAILED,
    -1,
)
ENDINGS = (
    _rate("stop_rate", "answers that the model ended by itself", lambda r: r.finish_reason == "stop", ENDED),
    _rate("truncation_rate", "answers that max_tokens or the window cut off", lambda r: r.finish_reason == "length",
          ENDED, -1),
    Metric("answer_tokens", "length of an answer, in tokens", group=ENDED, value=lambda r: r.tokens),
)  # fmt: skip
"""Of answers to be generated, whatever they are: every task of answers has them."""


def leading(metrics: Iterable[Metric]) -> list[Metric]:
    """Those that have a direction and tell of the task, and not of how answers fail or of a source; what leads the
    report comes first. All of them where there are no such."""
    every = list(metrics)
    told = [m for m in every if m.better and m.group not in (FAILED, PART)]
    return sorted(told or every, key=lambda m: math.inf if m.lead is None else m.lead)


def part(name: str, about: str, group: str = OTHER, better: Better = 1, **how) -> Metric:
    """The metric of a number that the grader gives beside its verdict (`Judgement.parts`), 0 where it gives none."""
    return _rate(name, about, lambda r: r.parts.get(name, 0.0), group, better, **how)


def accuracy(about: str, **how) -> Metric:
    """The share of accepted answers."""
    return _rate("accuracy", about, _is_accepted, **how)
