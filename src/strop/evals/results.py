"""What an evaluation keeps of every item, and the metrics that follow from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from strop.evals.intervals import Estimate, estimate, paired_change
from strop.evals.rates import rate, rate_change
from strop.files import write_jsonl

VERDICTS = ("accepted", "wrong_answer", "runtime_error", "timeout", "syntax_error", "no_code")


FAULT = "judge_fault"
"""The verdict on an answer of which nothing is known, since the judge itself failed."""
TOO_LONG = "prompt_too_long"
"""Why an item has no answer whose prompt leaves no room for one in the model's window."""


@dataclass(frozen=True)
class ItemResult:
    """One item of a code task: what was asked, what the model said and what became of it.

    ``finish_reason``: why the answer ended, see `strop.rollout.engine.Rollout`; or `TOO_LONG`.
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


Value = Callable[[ItemResult], float]

# exec_success_rate: a program was found, compiles, and no test ended in a runtime error or a timeout.
CODE_METRICS: dict[str, Value] = {
    "exec_success_rate": lambda r: r.verdict in ("accepted", "wrong_answer"),
    "accepted@1": lambda r: r.verdict == "accepted",
    "pass_ratio": lambda r: r.passed / r.total,
    "format_rate": lambda r: r.well_formed,
    **{f"verdict/{v}": (lambda r, v=v: r.verdict == v) for v in VERDICTS},
}
BY_SOURCE = ("exec_success_rate", "accepted@1")
PASS_AT_1: dict[str, Value] = {"pass@1": lambda r: r.verdict == "accepted"}
METRICS: dict[str, Value] = {**CODE_METRICS, **PASS_AT_1}
"""Every metric of answers by its name; all are shares in [0, 1]. A task names those that it is measured by."""


def code_estimates(results: Sequence[ItemResult], metrics: dict[str, Value]) -> dict[str, Estimate]:
    """Every metric over all items, with the interval of a rate (see `strop.evals.rates`).

    Where the items come from several sources, those of `BY_SOURCE` also for each alone, under "metric/source".
    """
    return {
        name: rate([float(f(results[i])) for i in chosen], [results[i].family for i in chosen])
        for name, f, chosen in _measures(results, metrics)
    }


def code_changes(
    before: Sequence[ItemResult], after: Sequence[ItemResult], metrics: dict[str, Value]
) -> dict[str, Estimate]:
    """Paired change of every metric. Raises ValueError when the items are not the same."""
    _check_same(before, after)
    return {
        name: rate_change(
            [float(f(before[i])) for i in chosen],
            [float(f(after[i])) for i in chosen],
            [before[i].family for i in chosen],
        )
        for name, f, chosen in _measures(before, metrics)
    }


def _measures(results: Sequence[ItemResult], metrics: dict[str, Value]) -> Iterator[tuple[str, Value, list[int]]]:
    """(name, value of an item, the items that count)."""
    sources: dict[str, list[int]] = {}
    for i, result in enumerate(results):
        sources.setdefault(result.source, []).append(i)
    for name, value in metrics.items():
        yield name, value, [*range(len(results))]
    if len(sources) > 1:
        for name in BY_SOURCE:
            if name in metrics:
                yield from ((f"{name}/{source}", metrics[name], sources[source]) for source in sorted(sources))


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
