"""How much a measure that should be kept may get worse, and what the interval of its change says to that."""

from typing import Literal

from strop.report.files import Interval, Summary
from strop.report.metrics import describe
from strop.tasks.metrics import Metric

Kept = Literal["within", "out", "open"]


def kept_bounds(summary: Summary) -> dict[str, float]:
    """Per metric that has a direction, the worsening allowed: the recipe's bound, else the default of that metric."""
    metrics = {name: describe(name, summary.measures) for name in {*summary.change, *summary.bounds}}
    bounds = {name: summary.bounds.get(name, metric.bound) for name, metric in sorted(metrics.items()) if metric.better}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def kept(change: Interval, metric: Metric, bound: float) -> Kept:
    """``within``: the whole interval of the change is no worse than ``bound``; ``out``: the whole interval is worse;
    ``open``: it reaches past the bound, or is not known."""
    if change.low is None or change.high is None:
        return "open"
    worse = sorted(-metric.better * end for end in (change.low, change.high))
    if worse[1] <= bound:
        return "within"
    return "out" if worse[0] > bound else "open"
