"""The items that came out otherwise, and what changed in their answers."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from strop.common.visible import one_line, visible
from strop.compare.comparison import Comparison, Row
from strop.compare.pairs import Pair
from strop.report.metrics import leading

_CONTEXT = 2


@dataclass(frozen=True)
class Flips:
    """Of one task by its leading metric: items that got better and worse in ``row``'s direction, the largest changes
    first, and as they stand where all are as large."""

    row: Row
    better: list[Pair]
    worse: list[Pair]


def flips(comparison: Comparison) -> list[Flips]:
    """Of every task that has a metric with a good direction."""
    found = []
    for task, matched in comparison.tasks.items():
        rows = [row for row in comparison.rows if row.task == task and row.metric.better]
        if not rows:
            continue
        metric = leading(row.metric for row in rows)
        row = next(row for row in rows if row.metric is metric)
        name, better = metric.name, metric.better
        pairs = [pair for pair in matched.pairs if all(name in one.values for one in pair)]
        change = {id(pair): better * (pair[1].values[name] - pair[0].values[name]) for pair in pairs}
        up = sorted((pair for pair in pairs if change[id(pair)] > 0), key=lambda pair: -change[id(pair)])
        down = sorted((pair for pair in pairs if change[id(pair)] < 0), key=lambda pair: change[id(pair)])
        found.append(Flips(row, up, down))
    return found


def answer_diff(pair: Pair) -> Iterator[str]:
    """A unified diff of both answers, fit to be printed; one sentence where they are the same or none."""
    before, after = (one.answer for one in pair)
    if before is None or after is None:
        yield "(a loss, no answers)"
    elif before == after:
        yield "(the answers are the same, and were judged otherwise)"
    else:
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=_CONTEXT)
        for line in list(lines)[2:]:
            yield visible(line, strict=False)


def outcome(pair: Pair, row: Row) -> str:
    """``wrong_answer → accepted``, or the values where there are no verdicts."""
    verdicts = [str(one.row.get("verdict") or f"{one.values[row.metric.name]:.3f}") for one in pair]
    return one_line(" → ".join(verdicts))
