"""What a metric is, and how its numbers are written."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any, Literal

from strop.report.files import Interval
from strop.tasks.base import known_metrics
from strop.tasks.metrics import PASS_AT_1, Metric

UNKNOWN = "–"
NBSP = "\N{NO-BREAK SPACE}"
_MARKS = {"rate": f"{NBSP}%"}
_MARKS_OF_CHANGE = {"rate": f"{NBSP}points", "nats": f"{NBSP}nats"}


@cache
def _known() -> dict[str, Metric]:
    return {**known_metrics(), PASS_AT_1.name: PASS_AT_1}


def describe(name: str, measures: Mapping[str, Metric] | None = None) -> Metric:
    """What a metric is: by the run's own ``measures``, or else by the tasks that come with strop.

    A task of the user's own has the known ones behind its prefix (``mine_accepted@1``), and ``/`` before a source. Of
    any other metric the unit is read off the name, and no direction is assumed.
    """
    if measures and name in measures:
        return measures[name]
    if name in _known():
        return _known()[name]
    whole, _, source = name.rpartition("/")
    if source and whole in _known():
        return _known()[whole].of_source(source)
    for known in _known().values():
        if name.endswith(f"_{known.name}"):
            return known.of_user(name.removesuffix(known.name))
        if source and whole.endswith(f"_{known.name}"):
            return known.of_user(whole.removesuffix(known.name)).of_source(source)
    if name.endswith("_loss"):
        return Metric(name, unit="nats", better=-1)
    is_rate = "@" in name or name.endswith(("_rate", "_ratio"))
    return Metric(name, unit="rate" if is_rate else "number")


def in_order(names: Collection[str], measures: Mapping[str, Metric]) -> list[str]:
    """As the page lists them: in the order of the tasks that come with strop, then of the run, then by name."""
    first = dict.fromkeys([*_known(), *measures])
    return [name for name in first if name in names] + sorted(set(names) - first.keys())


def leading(metrics: Iterable[Metric]) -> Metric:
    """The metric that speaks for a task, of those with a good direction where there are any: the lowest ``lead``, else
    the first."""
    metrics = list(metrics)
    metrics = [metric for metric in metrics if metric.better] or metrics
    return min((metric for metric in metrics if metric.lead is not None), key=lambda m: m.lead or 0, default=metrics[0])


def value_text(value: float | None, unit: str) -> str:
    """``0.21`` → ``21.0 %`` for a rate; three decimals otherwise; a dash where nothing is known."""
    return UNKNOWN if value is None else _number(value, unit) + _MARKS.get(unit, "")


def change_text(value: float | None, unit: str) -> str:
    """A difference with its sign; differences of rates are in percentage points."""
    return UNKNOWN if value is None else _number(value, unit, plus="+") + _MARKS_OF_CHANGE.get(unit, "")


def interval_text(estimate: Interval, unit: str) -> str:
    """``12.0–31.0 %``, or nothing where the interval is not known."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{_number(estimate.low, unit)}–{value_text(estimate.high, unit)}"


def change_interval_text(estimate: Interval, unit: str) -> str:
    """``+14.0 to +28.0 points``, or nothing where the interval is not known."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{_number(estimate.low, unit, plus='+')} to {change_text(estimate.high, unit)}"


def tone(metric: Metric, change: Interval) -> Literal["better", "worse", "moved", "unclear", "unknown"]:
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


def sample_texts(estimate: Interval) -> list[str]:
    """``["100 items", "25 families"]``: what an estimate rests on. Families of one item each are not mentioned."""
    families = estimate.families if estimate.families != estimate.n else None
    counted = ((estimate.n, "item", "items"), (families, "family", "families"))
    return [f"{number:,} {one if number == 1 else many}" for number, one, many in counted if number]


def _number(value: float, unit: str, plus: str = "") -> str:
    text = f"{abs(100 * value):.1f}" if unit == "rate" else f"{abs(value):.3f}"
    if float(text) == 0:  # no "-0.0"
        return text
    return ("\N{MINUS SIGN}" if value < 0 else plus) + text
