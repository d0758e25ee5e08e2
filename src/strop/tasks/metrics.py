"""What is measured, in one table: what each metric means, its unit, which direction is good, how far it may fall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

TASK, KEPT, FAILED = "What was trained for", "What should be kept", "How answers failed"
PART, OTHER = "Where the problems come from", "Other measurements"
GROUPS = (TASK, PART, KEPT, FAILED, OTHER)
"""In the order of the page."""

VERDICTS = {
    "accepted": "every test passed",
    "wrong_answer": "ran, but printed or returned something else",
    "runtime_error": "raised an exception",
    "timeout": "did not finish in time",
    "syntax_error": "is not valid Python",
    "no_code": "the answer holds no program",
}


@dataclass(frozen=True)
class Metric:
    """``better``: +1 higher is better, -1 lower is better, 0 neither. ``bound``: the worsening that is allowed, in the
    metric's own unit, or with ``relative`` as a share of the value before. ``lead``: the lowest leads the report.
    ``by_source``: also given for each source of the items. ``value``: of one item's result, in [0, 1] for a rate."""

    name: str
    about: str = ""
    unit: Literal["rate", "nats", "number"] = "number"
    better: Literal[1, 0, -1] = 0
    group: str = OTHER
    bound: float | None = None
    relative: bool = False
    lead: int | None = None
    by_source: bool = False
    value: Callable[[Any], float] | None = field(default=None, compare=False, repr=False)

    def of_user(self, prefix: str) -> Metric:
        """The same of a file of the user's own (``mine_accepted@1``): nobody said that it is to be kept."""
        return replace(self, name=prefix + self.name, group=OTHER, bound=None) if prefix else self

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
        return {name: value for name, value in asdict(replace(self, value=None)).items() if name != "value"}


def _rate(name: str, about: str, value: Callable[[Any], float], group: str = TASK, better: int = 1, **how) -> Metric:
    return Metric(name, about, "rate", better, group, value=value, **how)


def _is_accepted(result: Any) -> bool:
    return result.verdict == "accepted"


def _ran(result: Any) -> bool:
    """A program was found, compiles, and no test ended in a runtime error or a timeout."""
    return result.verdict in ("accepted", "wrong_answer")


_BETTER = {"accepted": 1, "wrong_answer": 0}
PASS_AT_1 = _rate("pass@1", "problems solved by the one answer", _is_accepted, OTHER, lead=2)

PROGRAM_METRICS = (
    _rate("accepted@1", "items whose one answer passed every test", _is_accepted, lead=0, by_source=True),
    _rate("pass_ratio", "share of an item's tests that passed, mean over items", lambda r: r.passed / r.total, lead=4),
    _rate("exec_success_rate", "answers whose program ran without an error", _ran, lead=3, by_source=True),
    _rate("format_rate", "answers that end by themselves and hold one Python block", lambda r: r.well_formed),
    *(
        # A wrong answer is neither good nor bad in itself: a program that used to crash and now runs is progress.
        _rate(f"verdict/{name}", about, lambda r, name=name: r.verdict == name, FAILED, _BETTER.get(name, -1))
        for name, about in VERDICTS.items()
    ),
)
"""Of answers that are programs; all are shares in [0, 1]."""
