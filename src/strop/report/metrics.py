"""What each metric means, in which unit it is, which direction is good; and how its numbers are written."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from strop.report.files import Estimate

UNKNOWN = "–"
NBSP = "\N{NO-BREAK SPACE}"

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
    """``better``: +1 higher is better, -1 lower is better, 0 neither; ``bound``: the worsening allowed by default."""

    name: str
    about: str = ""
    unit: Literal["rate", "nats", "number"] = "number"
    better: Literal[1, 0, -1] = 0
    group: str = "Other measurements"
    bound: float | None = None


_TASK, _KEPT, _VERDICT = "What was trained for", "What should be kept", "How answers failed"
_PART = "Where the problems come from"

KNOWN = {
    metric.name: metric
    for metric in (
        Metric("accepted@1", "items whose one answer passed every test", "rate", 1, _TASK),
        Metric("pass_ratio", "share of an item's tests that passed, mean over items", "rate", 1, _TASK),
        Metric("exec_success_rate", "answers whose program ran without an error", "rate", 1, _TASK),
        Metric("format_rate", "answers that end by themselves and hold one Python block", "rate", 1, _TASK),
        # Accepted as a verdict is accepted@1 under another name: it is in the chart, not in the table a second time.
        Metric("verdict/accepted", VERDICTS["accepted"], "rate", 1, _VERDICT),
        # Neither good nor bad in itself: a program that used to crash and now runs to a wrong answer is progress.
        Metric("verdict/wrong_answer", VERDICTS["wrong_answer"], "rate", 0, _VERDICT),
        *(
            Metric(f"verdict/{name}", VERDICTS[name], "rate", -1, _VERDICT)
            for name in ("runtime_error", "timeout", "syntax_error", "no_code")
        ),
        Metric("humaneval_pass@1", "HumanEval problems solved by the one answer", "rate", 1, _KEPT, bound=0.05),
        Metric("general_chat_loss", "loss on ordinary conversations, nats per token", "nats", -1, _KEPT, bound=0.05),
    )
}
GROUPS = (_TASK, _PART, _KEPT, _VERDICT, Metric("").group)


def describe(name: str) -> Metric:
    """The metric of that name. A task of the user's own has the known ones behind its prefix (``mine_accepted@1``).

    Of any other metric the unit is read off the name, and no direction is assumed.
    """
    if name in KNOWN:
        return KNOWN[name]
    for known in KNOWN.values():
        if name.endswith(f"_{known.name}"):
            return replace(known, name=name, group=Metric("").group, bound=None)
    whole, _, source = name.rpartition("/")
    for known in KNOWN.values() if source else ():
        if whole == known.name or whole.endswith(f"_{known.name}"):
            group = _PART if whole == known.name else Metric("").group
            about = f"the same, of the problems from {source}"
            return replace(known, name=name, about=about, group=group, bound=None)
    if name.endswith("_loss"):
        return Metric(name, unit="nats", better=-1)
    is_rate = "@" in name or name.endswith(("_rate", "_ratio"))
    return Metric(name, unit="rate" if is_rate else "number")


def value_text(value: float | None, unit: str) -> str:
    """``0.21`` → ``21.0 %`` for a rate; three decimals otherwise; a dash where nothing is known."""
    if value is None:
        return UNKNOWN
    return f"{_signed(100 * value, 1, plus='')}{NBSP}%" if unit == "rate" else _signed(value, 3, plus="")


def change_text(value: float | None, unit: str) -> str:
    """A difference with its sign; differences of rates are in percentage points."""
    if value is None:
        return UNKNOWN
    return f"{_change_number(value, unit)}{NBSP}{unit_of_change(unit)}".rstrip(NBSP)


def interval_text(estimate: Estimate, unit: str) -> str:
    """``12.0–31.0 %``, or nothing where the interval is not known."""
    if estimate.low is None or estimate.high is None:
        return ""
    scale, digits, sign = (100, 1, f"{NBSP}%") if unit == "rate" else (1, 3, "")
    return f"{_signed(scale * estimate.low, digits, '')}–{_signed(scale * estimate.high, digits, '')}{sign}"


def change_interval_text(estimate: Estimate, unit: str) -> str:
    """``+14.0 to +28.0 points``, or nothing where the interval is not known."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{_change_number(estimate.low, unit)} to {change_text(estimate.high, unit)}"


def unit_of_change(unit: str) -> str:
    """The unit that a difference is written with."""
    return {"rate": "points", "nats": "nats"}.get(unit, "")


def tone(metric: Metric, change: Estimate) -> Literal["better", "worse", "moved", "unclear", "unknown"]:
    """What the interval of the change allows to say. Only an interval that excludes 0 says anything."""
    if change.low is None or change.high is None:
        return "unknown"
    if change.low <= 0 <= change.high:
        return "unclear"
    if metric.better == 0:
        return "moved"
    return "better" if (change.low > 0) == (metric.better > 0) else "worse"


def count_text(value: Any) -> str:
    """A count with thousands separated, or counts by name; text as it stands; a dash for unknown."""
    if value is None:
        return UNKNOWN
    if isinstance(value, dict):
        return ", ".join(f"{name} {count_text(count)}" for name, count in value.items())
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def sample_texts(estimate: Estimate) -> list[str]:
    """``["100 items", "25 families"]``: what an estimate rests on. Families of one item each are not mentioned."""
    families = estimate.families if estimate.families != estimate.n else None
    counted = ((estimate.n, "item", "items"), (families, "family", "families"))
    return [f"{number:,} {one if number == 1 else many}" for number, one, many in counted if number]


def _change_number(value: float, unit: str) -> str:
    return _signed(100 * value, 1) if unit == "rate" else _signed(value, 3)


def _signed(value: float, digits: int, plus: str = "+") -> str:
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:  # no "-0.0"
        return text
    return ("\N{MINUS SIGN}" if value < 0 else plus) + text
