"""What an evaluation keeps of every item, and the metrics that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from strop.common.files import write_jsonl
from strop.evals.intervals import Estimate, estimate, paired_change
from strop.evals.rates import rate, rate_change
from strop.tasks.metrics import Metric

FAULT = "judge_fault"
"""The verdict on an answer of which nothing is known, since the judge itself failed."""
TOO_LONG = "prompt_too_long"
"""Why an item has no answer whose prompt leaves no room for one in the model's window."""


@dataclass(frozen=True)
class ItemResult:
    """One item of a task of answers: what was asked, what the model said and what became of it.

    ``finish_reason``: why the answer ended, see `strop.rollout.engine.Rollout`; or `TOO_LONG`. ``values``: each metric
    of the item by its full name, in [0, 1].
    """

    name: str
    family: str
    prompt: str
    answer: str
    verdict: str
    passed: int
    total: int
    detail: str
    stderr_tail: str
    finish_reason: str
    tokens: int
    well_formed: bool
    source: str = ""
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LossResult:
    """One conversation of a loss task: summed loss (nats) over its measured tokens, of which there is at least one."""

    name: str
    family: str
    loss: float
    tokens: int

    def __post_init__(self):
        if self.tokens < 1:
            raise ValueError(f"{self.name}: a loss per token needs at least one token.")


def valued(results: Sequence[ItemResult], metrics: Mapping[str, Metric]) -> tuple[list[ItemResult], dict[str, Metric]]:
    """The results with the value of each metric, and the metrics that have one.

    Where the items come from several sources, the metrics that ask for it are there for each source too.
    """
    sources = sorted({result.source for result in results})
    parts: dict[str, Metric] = {}
    if len(sources) > 1:
        split = [metric for metric in metrics.values() if metric.by_source]
        parts = {part.name: part for metric in split for part in map(metric.of_source, sources)}
    found = []
    for result in results:
        values = {name: float(metric.value(result)) for name, metric in metrics.items()}
        own = {f"{name}/{result.source}": value for name, value in values.items()}
        found.append(replace(result, values=values | {name: own[name] for name in parts if name in own}))
    return found, {**metrics, **parts}


def answer_estimates(results: Sequence[ItemResult], metrics: Mapping[str, Metric]) -> dict[str, Estimate]:
    """Every metric over the items that have it, with its interval: a rate's (see `strop.evals.rates`) or a mean's."""
    found = {}
    for name, metric in metrics.items():
        having = [result for result in results if name in result.values]
        interval = rate if metric.unit == "rate" else estimate
        found[name] = interval([r.values[name] for r in having], [r.family for r in having])
    return found


def answer_changes(
    before: Sequence[ItemResult], after: Sequence[ItemResult], metrics: Mapping[str, Metric]
) -> dict[str, Estimate]:
    """Paired change of every metric. Raises ValueError when the items are not the same."""
    _check_same(before, after)
    changes = {}
    for name, metric in metrics.items():
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if name in a.values]
        interval = rate_change if metric.unit == "rate" else paired_change
        values = [[pair[side].values[name] for pair in pairs] for side in (0, 1)]
        changes[name] = interval(*values, [a.family for a, _ in pairs])
    return changes


def loss_estimate(results: Sequence[LossResult]) -> Estimate:
    """Mean loss per token (nats); every token counts the same, conversations are resampled."""
    tokens = [r.tokens for r in results]
    return estimate([r.loss / r.tokens for r in results], [r.family for r in results], weights=tokens)


def loss_change(before: Sequence[LossResult], after: Sequence[LossResult]) -> Estimate:
    """Paired change of the mean loss per token. Raises ValueError when the items are not the same."""
    _check_same(before, after)
    per_token = [[r.loss / r.tokens for r in results] for results in (before, after)]
    return paired_change(*per_token, [r.family for r in before], weights=[r.tokens for r in before])


def _check_same(before: Sequence, after: Sequence) -> None:
    if [r.name for r in before] != [r.name for r in after]:
        raise ValueError("before and after were not measured on the same items in the same order.")


def write_results(path: Path, results: Sequence[ItemResult] | Sequence[LossResult]) -> None:
    write_jsonl(path, (asdict(r) for r in results))


def read_results(path: Path, kind: type) -> list:
    """Results as written by ``write_results``."""
    return [kind(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def changes_between(before: Path, after: Path, metrics: Mapping[str, Metric]) -> dict[str, Estimate]:
    """Paired changes of one task's metrics from the files of two evaluations: of answers, or of losses."""
    with before.open(encoding="utf-8") as file:
        losses = "loss" in json.loads(file.readline())
    if losses:
        return dict.fromkeys(metrics, loss_change(*(read_results(file, LossResult) for file in (before, after))))
    return answer_changes(*(read_results(file, ItemResult) for file in (before, after)), metrics)
