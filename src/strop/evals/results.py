"""What an evaluation keeps of every item, and the metrics that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from strop.common.errors import InputError
from strop.common.files import write_jsonl
from strop.evals.intervals import Estimate, estimate, paired_change
from strop.evals.rates import rate, rate_change
from strop.rewards.code import Verdict
from strop.tasks.metrics import Metric

SCORED = "scored"
FAULT: Verdict = "judge_fault"
"""The verdict on an answer of which nothing is known, since the judge itself failed."""
TOO_LONG = "prompt_too_long"
"""Why an item has no answer whose prompt leaves no room for one in the model's window."""


@dataclass(frozen=True)
class ItemResult:
    """One item of a task of answers: what was asked, what the model said and what became of it.

    ``finish_reason``: why the answer ended, see `strop.rollout.engine.Rollout`; or `TOO_LONG`; or `SCORED`, where
    options were scored instead: ``option_logprobs`` has their log-probabilities and ``answer`` the likeliest.
    ``opened``: what the prompt opened reasoning with. ``sample``: which of several answers to the item it is.
    ``parts``: what the grader says beside its verdict. ``values``: each metric of the answer by its full name; those of
    the item as a whole stand with its first answer. ``turns`` and ``counts`` are there where an environment took part:
    what was said (role and text), and the calls of tools; ``failure`` is why it failed. ``asked`` and ``reference``:
    digests of what the model was asked and of what it was graded by, empty where they are not known.
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
    sample: int = 0
    opened: str = ""
    parts: dict[str, float] = field(default_factory=dict)
    option_logprobs: list[float] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    failure: str = ""
    asked: str = ""
    reference: str = ""


@dataclass(frozen=True)
class LossResult:
    """One conversation or text: summed loss (nats) over its measured tokens, of which there is at least one, and the
    bytes of UTF-8 of a text."""

    name: str
    family: str
    loss: float
    tokens: int
    bytes: int = 0

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
    several: dict[str, list[ItemResult]] = {}
    for result in results:
        several.setdefault(result.name, []).append(result)
    for result in results:
        values = {name: float(metric.value(result)) for name, metric in metrics.items() if metric.value is not None}
        if result is several[result.name][0]:
            values |= {
                name: float(metric.of_item(several[result.name]))
                for name, metric in metrics.items()
                if metric.of_item is not None
            }
        own = {f"{name}/{result.source}": value for name, value in values.items()}
        found.append(replace(result, values=values | {name: own[name] for name in parts if name in own}))
    return found, {**metrics, **parts}


def answer_estimates(results: Sequence[ItemResult], metrics: Mapping[str, Metric]) -> dict[str, Estimate]:
    """Every metric over the items that have it, with its interval: a rate's (see `strop.evals.rates`) or a mean's."""
    found = {}
    for name, metric in metrics.items():
        having = [result for result in results if name in result.values]
        values, families = [r.values[name] for r in having], [r.family for r in having]
        interval = rate if metric.unit == "rate" else estimate
        found[name] = interval(values, families, _weights(having, metric))
    return found


def _weights(results: Sequence[ItemResult], metric: Metric) -> list[float] | None:
    return None if metric.weight is None else [getattr(result, metric.weight) for result in results]


def answer_changes(
    before: Sequence[ItemResult], after: Sequence[ItemResult], metrics: Mapping[str, Metric]
) -> dict[str, Estimate]:
    """Paired change of every metric. Raises ValueError when the items are not the same."""
    _check_same(before, after)
    changes = {}
    for name, metric in metrics.items():
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if name in a.values]
        first, second = ([pair[side].values[name] for pair in pairs] for side in (0, 1))
        families = [a.family for a, _ in pairs]
        interval = rate_change if metric.unit == "rate" else paired_change
        changes[name] = interval(first, second, families, _weights([a for a, _ in pairs], metric))
    return changes


LOSS_PER_TOKEN = Metric("loss", unit="nats", better=-1)


def loss_estimate(results: Sequence[LossResult], metric: Metric = LOSS_PER_TOKEN) -> Estimate:
    """Mean loss per token or byte in the metric's unit, or its exponential; each counts the same, and conversations or
    texts are resampled."""
    each, amounts = _losses(results, metric)
    return estimate(each, [r.family for r in results], weights=amounts, of_mean=np.exp if metric.exp else None)


def loss_change(before: Sequence[LossResult], after: Sequence[LossResult], metric: Metric = LOSS_PER_TOKEN) -> Estimate:
    """Paired change of `loss_estimate`. Raises ValueError when the items are not the same."""
    _check_same(before, after)
    (first, amounts), (second, _) = _losses(before, metric), _losses(after, metric)
    of_mean = np.exp if metric.exp else None
    return paired_change(first, second, [r.family for r in before], weights=amounts, of_mean=of_mean)


def _losses(results: Sequence[LossResult], metric: Metric) -> tuple[list[float], list[int]]:
    """The loss per token or byte of each result, and how many of these it has."""
    amounts = [getattr(result, metric.per) for result in results]
    return [r.loss / metric.nats / n for r, n in zip(results, amounts, strict=True)], amounts


def _check_same(before: Sequence, after: Sequence) -> None:
    first, second = ([(r.name, getattr(r, "sample", 0)) for r in results] for results in (before, after))
    if first != second:
        raise ValueError("before and after were not measured on the same items in the same order.")


Kept = TypeVar("Kept", ItemResult, LossResult)


def write_results(path: Path, results: Sequence[ItemResult] | Sequence[LossResult]) -> None:
    write_jsonl(path, (asdict(r) for r in results))


def read_results(path: Path, kind: type[Kept]) -> list[Kept]:
    """Results as written by ``write_results``. Raises InputError for a file that cannot be read, or holds others."""
    again = "evaluate the model again"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: an answer may hold U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {again}.") from error
    found: list[Kept] = []
    for number, line in enumerate(lines, start=1):
        try:
            found += [kind(**json.loads(line))] if line else []
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}:{number}: is no item of an evaluation ({error}); {again}.") from error
    return found


def changes_between(before: Path, after: Path, metrics: Mapping[str, Metric]) -> dict[str, Estimate]:
    """Paired changes of one task's metrics from the files of two evaluations: of answers, or of losses."""
    try:
        with before.open(encoding="utf-8") as file:
            losses = "loss" in json.loads(file.readline())
    except (OSError, ValueError) as error:
        raise InputError(f"{before}: cannot be read ({error}); evaluate the model again.") from error
    if losses:
        first, second = (read_results(file, LossResult) for file in (before, after))
        return {name: loss_change(first, second, metric) for name, metric in metrics.items()}
    return answer_changes(read_results(before, ItemResult), read_results(after, ItemResult), metrics)
