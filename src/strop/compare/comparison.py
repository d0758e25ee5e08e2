"""Two evaluations on the same items: every metric's paired change, whether it may be chance, and what flipped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from strop.common.errors import InputError
from strop.compare.pairs import Pair, Pairs, pair_up
from strop.compare.power import LEVEL, POWER, items_for_flips, items_for_mean
from strop.compare.significance import holm, mcnemar, swap_test
from strop.evals.gates import Gate, GateSettings, check_in_unit, judge_gate, metric_named, named_gates
from strop.evals.intervals import Estimate, estimate, paired_change
from strop.evals.rates import rate, rate_change
from strop.report.files import Interval
from strop.report.metrics import change_interval_text, change_text, value_text
from strop.report.sides import Side
from strop.report.verdict import Verdict, gate_verdict
from strop.tasks.metrics import ENDED, FAILED, PART, Metric

LEAST_RATE, LEAST_SHARE = 0.05, 0.05
"""The smallest change that matters where nobody says it: 5 points of a rate, 5 % of anything else."""
Finding = Literal["better", "worse", "moved", "no change", "untold"]


@dataclass(frozen=True)
class Row:
    """One metric over the shared items.

    ``change`` is second less first, with a 95 % interval. Of a right-or-wrong metric ``gained`` and ``lost`` count the
    items that flipped, None of any other. ``p``: two-sided, see `strop.compare.significance`; ``adjusted``: by Holm for
    all metrics that are tested together. Both are None of metrics that only describe (kinds of failure, parts by
    source). ``least``: the smallest change that matters, in the metric's unit; ``needed``: with how many items it would
    be found (None: not known, or too many). ``spread``: how far families differ by a number that has no bounds.
    """

    task: str
    metric: Metric
    first: Estimate
    second: Estimate
    change: Estimate
    gained: int | None
    lost: int | None
    p: float | None
    adjusted: float | None
    least: float | None
    needed: int | None
    tests: int = 1
    spread: float = 0.0

    @property
    def finding(self) -> Finding:
        """``better`` and ``worse`` (``moved`` where there is no good direction) only where the adjusted p is at most
        0.05 and the interval excludes 0; else ``no change`` where there were items enough to find one that matters."""
        known = not math.isnan(self.change.low)
        significant = known and self.adjusted is not None and self.adjusted <= LEVEL
        if significant and not self.change.low <= 0 <= self.change.high:
            if self.metric.better == 0:
                return "moved"
            return "better" if (self.change.value > 0) == (self.metric.better > 0) else "worse"
        return "no change" if self.needed is not None and self.change.n >= self.needed else "untold"

    @property
    def verdict(self) -> Verdict:
        """The finding in words, with the numbers that it rests on."""
        unit, n = self.metric.unit, self.change.n
        name = self.metric.name
        interval = Interval.model_validate(self.change.to_dict())
        went = f"{value_text(self.first.value, unit)} → {value_text(self.second.value, unit)}"
        numbers = (
            f"{change_text(self.change.value, unit)} ({change_interval_text(interval, unit) or 'interval unknown'})"
        )
        numbers += f", {went}"
        if self.gained is not None:
            numbers += f"; {self.gained:,} gained and {self.lost:,} lost of {n:,} items"
        else:
            numbers += f"; {n:,} items"
        if self.p is not None:
            numbers += f"; {p_text(self.p)}"
            if self.adjusted is not None and self.tests > 1:
                numbers += f", {p_text(self.adjusted)} after Holm's correction for {self.tests}"
        least = change_text(self.least, unit).lstrip("+") if self.least is not None else ""
        if self.finding in ("better", "worse"):
            return Verdict(f"{name} is {self.finding}:", f"{numbers}.", self.finding)
        if self.finding == "moved":
            return Verdict(f"{name} changed:", f"{numbers}.", "unclear")
        if self.finding == "no change":
            said = f"{numbers}; {self.needed:,} items find a change of {least} in {100 * POWER:.0f} % of cases."
            return Verdict(f"{name}: no significant change:", said, "unclear")
        if self.needed is None:
            known = self.change.low < self.change.high  # and no NaN
            would = "no usual number would do" if known else "how many would do is not known"
            return Verdict(f"{name} cannot be told with {n:,} items ({would}):", f"{numbers}.", "unclear")
        would = f"{self.needed:,} would do to find a change of {least} in {100 * POWER:.0f} % of cases"
        return Verdict(f"{name} cannot be told with {n:,} items; {would}:", f"{numbers}.", "unclear")


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


@dataclass(frozen=True)
class Comparison:
    """``second`` against ``first``. ``rows``: metrics that are tested, and then those that only describe; ``gates`` by
    metric; ``notes``: what of the items is not compared, and what else was different."""

    first: Side
    second: Side
    tasks: dict[str, Pairs]
    rows: list[Row]
    gates: dict[str, Gate] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def tested(self) -> list[Row]:
        return [row for row in self.rows if row.p is not None]

    @property
    def metrics(self) -> dict[str, Row]:
        return {row.metric.name: row for row in self.rows}

    def gate_verdicts(self) -> list[Verdict]:
        """A sentence for each gate."""
        found = []
        for name, gate in self.gates.items():
            row = self.metrics.get(name)
            change = Interval() if row is None else Interval.model_validate(row.change.to_dict())
            found.append(gate_verdict(name, gate, Metric(name) if row is None else row.metric, change))
        return found


def compare_sides(
    first: Side,
    others: Sequence[Side],
    metrics: Sequence[str] = (),
    gates: Mapping[str, GateSettings] | None = None,
    least: float | None = None,
) -> list[Comparison]:
    """Each of ``others`` against ``first``. ``metrics``: only these are tested (by default all that have a say);
    ``least``: the smallest change that matters, in the metric's own unit.

    All tests of the call are corrected together. Raises InputError where nothing is shared, a metric is not there, or
    ``least`` is no change that its metrics can have.
    """
    if least is not None and not 0 < least < float("inf"):
        raise InputError(f"least is {least:g}, and the smallest change that matters is a number above 0, e.g. 0.03.")
    made = [_compare(first, other, metrics, gates or {}, least) for other in others]
    p = {(i, row.metric.name): row.p for i, one in enumerate(made) for row in one.tested if row.p is not None}
    adjusted = holm(p)
    done = []
    for i, one in enumerate(made):
        rows = [replace(r, adjusted=adjusted.get((i, r.metric.name)), tests=len(p)) for r in one.rows]
        rows = [row if row.p is None else _powered(row) for row in rows]
        done.append(replace(one, rows=rows))
    return done


def _compare(
    first: Side, second: Side, chosen: Sequence[str], gates: Mapping[str, GateSettings], least: float | None
) -> Comparison:
    shared = [task for task in first.tasks if task in second.tasks]
    if not shared:
        ours, theirs = (", ".join(side.tasks) or "nothing" for side in (first, second))
        said = f"{first.title} measured {ours}, and {second.title} measured {theirs}"
        raise InputError(f"{said}; measure a task with both.")
    notes = [
        f"{task}: only {side.title} measured it"
        for side, other in ((first, second), (second, first))
        for task in side.tasks
        if task not in other.tasks
    ]
    notes += [
        f"{side.title} is not finished, and what is compared is its evaluation {side.so_far}"
        for side in (first, second)
        if side.so_far
    ]
    notes += [
        f"unsafe_local: programs in the answers of {side.title} ran without a sandbox"
        for side in (first, second)
        if side.unsafe_local
    ]
    tasks = {task: pair_up(task, first, second) for task in shared}
    common = {task: [m for m in first.metrics[task] if m in second.metrics[task]] for task in shared}
    wanted = {metric_named(one, common, "--metric ") for one in chosen}
    rows = []
    for task in shared:
        known_as: dict[tuple[tuple[float | str, ...], ...], str] = {}
        for name in common[task]:
            metric = first.metrics[task][name]
            described = metric.group in (ENDED, FAILED, PART)
            pairs = [pair for pair in tasks[task].pairs if all(name in one.values for one in pair)]
            if reason := _not_compared(metric, pairs):
                notes.append(f"{task}: {name} is not compared: {reason}")
            elif pairs:
                tested = name in wanted if wanted else not described
                numbers = tuple((a.name, a.values[name], b.values[name], a.weights.get(name, 1.0)) for a, b in pairs)
                if tested and (other := known_as.setdefault(numbers, name)) != name:
                    notes.append(f"{task}: {name} is {other} of every item, and is not tested a second time")
                    tested = False
                if tested and least is not None:
                    check_in_unit(least, metric, "least")
                rows.append(_row(task, metric, pairs, least, tested))
    rows.sort(key=lambda row: row.p is None)  # those that are tested first, else as they were
    known = {row.metric.name: row for row in rows}
    named = named_gates(gates, common, {name: row.metric for name, row in known.items()})
    judged = {
        name: judge_gate(gate, known[name].first.value, known[name].change) if name in known
        else judge_gate(gate, None, None)
        for name, gate in named.items()
    }  # fmt: skip
    notes += [note for one in tasks.values() for note in one.notes]
    return Comparison(first, second, tasks, rows, judged, notes)


def _row(task: str, metric: Metric, pairs: Sequence[Pair], least: float | None, tested: bool) -> Row:
    """The numbers of one metric; how many items would do comes later, when the number of tests is known."""
    before, after = ([pair[side].values[metric.name] for pair in pairs] for side in (0, 1))
    families, weights = [a.family for a, _ in pairs], [a.weights.get(metric.name, 1.0) for a, _ in pairs]
    one, both = (rate, rate_change) if metric.unit == "rate" else (estimate, paired_change)
    first, second = one(before, families, weights), one(after, families, weights)
    change = both(before, after, families, weights)
    alike = len(set(weights)) == 1
    flips = _flips(before, after) if metric.unit == "rate" and alike else None
    p = None
    if tested and flips is not None and len(set(families)) == len(families):
        p = mcnemar(*flips)
    elif tested:
        p = swap_test([b - a for a, b in zip(before, after, strict=True)], families, None if alike else weights)
    if least is None:
        allowed = metric.allowed(first.value)
        least = allowed or (LEAST_RATE if metric.unit == "rate" else LEAST_SHARE * abs(first.value)) or None
    gained, lost = flips or (None, None)
    spread = 0.0 if metric.unit == "rate" else _spread(before, families)
    return Row(task, metric, first, second, change, gained, lost, p, None, least, None, spread=spread)


def _spread(values: Sequence[float], families: Sequence[str]) -> float:
    """The standard deviation of the families' means."""
    by_family: dict[str, list[float]] = {}
    for value, family in zip(values, families, strict=True):
        by_family.setdefault(family, []).append(value)
    return float(np.std([np.mean(several) for several in by_family.values()]))


def _not_compared(metric: Metric, pairs: Sequence[Pair]) -> str | None:
    """Why a metric of these pairs cannot be compared or need not be, where that is so."""
    if metric.exp:
        return "it is the exponential of a loss, whose own change says the same"
    if any("loss" in a.row and a.weights[metric.name] != b.weights[metric.name] for a, b in pairs):
        return "the sides measured another number of tokens (another tokenizer or template)"
    return None


def _flips(before: Sequence[float], after: Sequence[float]) -> tuple[int, int] | None:
    """(gained, lost) of values that are all 0 or 1; None of others."""
    if not {*before, *after} <= {0.0, 1.0}:
        return None
    pairs = list(zip(before, after, strict=True))
    return sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)


def _powered(row: Row) -> Row:
    """With the number of items that would do, at the level that the strictest step of Holm's correction asks for."""
    if row.least is None:
        return row
    level = LEVEL / row.tests
    if row.gained is not None and row.lost is not None and row.change.n == row.change.groups:
        flipping = (row.gained + row.lost + 2) / (row.change.n + 2)  # as Bonett and Price count them
        return replace(row, needed=items_for_flips(row.least, flipping, level))
    return replace(row, needed=items_for_mean(row.least, row.change, level, row.spread))
