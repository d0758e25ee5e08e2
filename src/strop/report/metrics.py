"""What a metric is, and how its numbers are written."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Literal

from strop.report.files import Interval
from strop.tasks.base import known_metrics
from strop.tasks.metrics import PASS_AT_1, Metric

UNKNOWN = "–"
NBSP = "\N{NO-BREAK SPACE}"
_UNITS_OF_CHANGE = {"rate": "points", "nats": "nats"}


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


def value_text(value: float | None, unit: str) -> str:
    """``0.21`` → ``21.0 %`` for a rate; three decimals otherwise; a dash where nothing is known."""
    if value is None:
        return UNKNOWN
    return f"{_signed(100 * value, 1, plus='')}{NBSP}%" if unit == "rate" else _signed(value, 3, plus="")


def change_text(value: float | None, unit: str) -> str:
    """A difference with its sign; differences of rates are in percentage points."""
    if value is None:
        return UNKNOWN
    return f"{_change_number(value, unit)}{NBSP}{_UNITS_OF_CHANGE.get(unit, '')}".rstrip(NBSP)


def interval_text(estimate: Interval, unit: str) -> str:
    """``12.0–31.0 %``, or nothing where the interval is not known."""
    if estimate.low is None or estimate.high is None:
        return ""
    scale, digits, sign = (100, 1, f"{NBSP}%") if unit == "rate" else (1, 3, "")
    return f"{_signed(scale * estimate.low, digits, '')}–{_signed(scale * estimate.high, digits, '')}{sign}"


def change_interval_text(estimate: Interval, unit: str) -> str:
    """``+14.0 to +28.0 points``, or nothing where the interval is not known."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{_change_number(estimate.low, unit)} to {change_text(estimate.high, unit)}"


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


def _change_number(value: float, unit: str) -> str:
    return _signed(100 * value, 1) if unit == "rate" else _signed(value, 3)


def _signed(value: float, digits: int, plus: str = "+") -> str:
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:  # no "-0.0"
        return text
    return ("\N{MINUS SIGN}" if value < 0 else plus) + text
