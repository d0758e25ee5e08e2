"""The strop side of the training benchmarks: `strop.train.loop.train`, as every stage calls it, on a clocked source."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.clock import Moment, now, rates
from common.models import make_model
from strop.data.packing import pack
from strop.data.source import PackedSource
from strop.data.step import Source, Step
from strop.model.lora import add_lora
from strop.model.memory import keep_freed_memory
from strop.model.policy import Policy
from strop.model.precision import best_compute
from strop.model.settings import LoraSettings
from strop.objectives.sft import CrossEntropy
from strop.train.loop import train
from strop.train.settings import TrainSettings
from strop.train.weights import Weights


def run(
    given: argparse.Namespace,
    source: Source,
    settings: Mapping[str, Any],
    objective=None,
    warmup_rows: int | None = None,
    clock: type[Clocked] | None = None,
) -> dict[str, float]:
    """Train on ``source`` and report rates over the steps after the warm-up.

    ``warmup_rows``: micro-batches of a warm-up step, where a whole one would take minutes.

    ``settings``: TrainSettings' by name, ``lora`` (LoraSettings'), and ``model`` (a random model's config).
    """
    keep_freed_memory()
    settings = dict(settings)
    lora = settings.pop("lora", None)
    model = make_model(given.model, **settings.pop("model", {}))
    if lora is not None:
        model = add_lora(model, LoraSettings(**lora)).network
    clocked = (clock or Clocked)(source, given.warmup, given.steps, warmup_rows)
    chosen = TrainSettings(learning_rate=1e-6, max_steps=clocked.steps, checkpoint_every=None, **settings)
    with tempfile.TemporaryDirectory() as folder:
        weights = Weights(Policy(model, best_compute()), chosen)
        train(weights, clocked, objective or CrossEntropy(), chosen, Path(folder))
    return clocked.found()


def packed(given: argparse.Namespace, examples: Sequence) -> Source:
    """The source of an SFT stage, without an end."""
    return PackedSource(
        examples, global_batch_size=given.batch, micro_batch_tokens=given.micro_batch_tokens, epochs=10_000
    )


class Clocked:
    """A source that takes the time whenever it is asked, and counts what it gave.

    One short step more than is timed: its beginning is the end of the last.
    """

    def __init__(self, source: Source, warmup: int, steps: int, warmup_rows: int | None = None):
        self.source, self.warmup, self.warmup_rows = source, warmup, warmup_rows
        self.steps = warmup + steps + 1
        self.times: list[Moment] = []
        self.counts: list[tuple[int, int]] = []

    def next_step(self) -> Step:
        self.times.append(now())
        batches = self.source.next_step().batches
        if len(self.times) <= self.warmup:
            batches = batches[: self.warmup_rows]
        elif len(self.times) == self.steps:
            batches = batches[:1]
        self.counts.append((sum(len(b.tokens) for b in batches), sum(len(b.labels) for b in batches)))
        return Step(batches)

    def state_dict(self) -> dict[str, Any]:
        return self.source.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.source.load_state_dict(state)

    def found(self) -> dict[str, float]:
        tokens, trained = (sum(column) for column in zip(*self.counts[self.warmup : -1], strict=True))
        return rates(tokens, trained, self.times[self.warmup], self.times[-1], self.steps - self.warmup - 1)


class GroupSource:
    """Groups of examples in their order, over and over: ``per_step`` of them a step, no group parted between rows.

    ``make`` joins groups into a row; ``length`` is the number of tokens that a group takes in it.
    """

    def __init__(self, groups: Sequence, per_step: int, row_tokens: int, make: Callable, length: Callable):
        self.groups, self.per_step, self.row_tokens = groups, per_step, row_tokens
        self.make, self.length = make, length
        self.taken = 0
        self.steps = 1_000_000

    def next_step(self) -> Step:
        chosen = [self.groups[(self.taken + i) % len(self.groups)] for i in range(self.per_step)]
        self.taken += self.per_step
        rows = pack([self.length(group) for group in chosen], self.row_tokens)
        return Step([self.make([chosen[i] for i in row]) for row in rows])

    def state_dict(self) -> dict[str, Any]:
        return {"taken": self.taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.taken = state["taken"]
