"""Sources of batches: what a stage trains on, in which order, and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from strop.chat import Example
from strop.data.batch import Batch, make_batch
from strop.data.packing import pack
from strop.errors import InputError


class Source(Protocol):
    """Gives the micro-batches of each optimiser step, and can be put back where it was."""

    steps: int

    def next_step(self) -> list[Batch]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class PackedSource:
    """Shuffled passes over examples; each step is ``global_batch_size`` of them in flat rows.

    Every epoch is a new permutation drawn from (seed, epoch) alone, so the order does not depend on how often the run
    was stopped. The last examples of an epoch that do not fill a step are joined by the first of the next. With
    several ranks, each takes every ``world_size``-th row of the same step.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        global_batch_size: int,
        micro_batch_tokens: int,
        epochs: float = 1.0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        if not examples:
            raise InputError("there is no example to train on; look at the data file and at what was dropped.")
        longest = max(examples, key=lambda e: len(e.tokens))
        if len(longest.tokens) > micro_batch_tokens:  # now, not at the step that draws it
            raise InputError(
                f"{longest.place}: has {len(longest.tokens)} tokens and a row holds {micro_batch_tokens}; "
                f"raise micro_batch_tokens to at least {len(longest.tokens)} or lower max_length."
            )
        self.examples = examples
        self.global_batch_size = global_batch_size
        self.micro_batch_tokens = micro_batch_tokens
        self.seed = seed
        self.rank, self.world_size = rank, world_size
        self.steps = max(1, round(len(examples) * epochs / global_batch_size))
        self.taken = 0  # examples given out so far, over all epochs
        self._permutation: tuple[int, list[int]] = (-1, [])

    def _example(self, position: int) -> Example:
        epoch, offset = divmod(position, len(self.examples))
        if self._permutation[0] != epoch:
            generator = torch.Generator().manual_seed((self.seed << 20) + epoch)
            self._permutation = (epoch, torch.randperm(len(self.examples), generator=generator).tolist())
        return self.examples[self._permutation[1][offset]]

    def next_step(self) -> list[Batch]:
        chosen = [self._example(self.taken + i) for i in range(self.global_batch_size)]
        self.taken += self.global_batch_size
        rows = pack([len(e.tokens) for e in chosen], self.micro_batch_tokens)
        return [make_batch([chosen[i] for i in row]) for row in rows[self.rank :: self.world_size]]

    def state_dict(self) -> dict[str, Any]:
        return {"taken": self.taken, "seed": self.seed, "examples": len(self.examples)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises InputError when the state belongs to other data or another seed."""
        if (state["seed"], state["examples"]) != (self.seed, len(self.examples)):
            raise InputError(
                f"the checkpoint was made with {state['examples']} examples and seed {state['seed']}, this run has "
                f"{len(self.examples)} and {self.seed}; use the same data and seed, or start in a new run folder."
            )
        self.taken = state["taken"]


def rows_of(examples: Sequence[Example], micro_batch_tokens: int) -> list[Batch]:
    """All examples once, in flat rows: for evaluation loss."""
    return [
        make_batch([examples[i] for i in row]) for row in pack([len(e.tokens) for e in examples], micro_batch_tokens)
    ]
