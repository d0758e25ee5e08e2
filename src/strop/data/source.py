"""Sources of batches: what a stage trains on, in which order, and where it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from strop.common.errors import InputError
from strop.data.batch import Batch, Trainable, make_batch
from strop.data.mixture import InMemory, Mixture
from strop.data.packing import pack
from strop.data.prefixes import SHARED_VALUES
from strop.data.step import Step
from strop.data.walk import Walk

_STATE = 2
"""Version of the state: 1 named the data by its number of examples alone."""


class PackedSource:
    """Shuffled epochs of a mixture, or of a list of examples; each step is ``global_batch_size`` of them in flat rows.

    The order within an epoch is drawn from (seed, epoch) alone, so it does not depend on how often the run was
    stopped. The last examples of an epoch that do not fill a step are joined by the first of the next. With several
    ranks, each takes every ``world_size``-th row of the same step; one that has a row less than the others gets one of
    a single token that nothing is trained on. ``seed`` is for a list: a mixture has its own.

    ``make`` makes a row of examples; ``complete`` adds to the rows of a step, of which it is given all examples, what
    can be known at that step only.

    Raises:
        InputError: when there is no example, or one is longer than a row.
    """

    def __init__(
        self,
        data: Mixture | Sequence[Trainable],
        *,
        global_batch_size: int,
        micro_batch_tokens: int,
        epochs: float = 1.0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        make: Callable[[Sequence[Any]], Batch] = make_batch,
        complete: Callable[[list[Batch], Sequence[Any]], list[Batch]] = lambda rows, examples: rows,
    ):
        self.mixture = data if isinstance(data, Mixture) else Mixture([InMemory(data)], seed=seed)
        _check_fits(self.mixture[self.mixture.longest()], micro_batch_tokens)  # now, not at the step that draws it
        self.global_batch_size = global_batch_size
        self.micro_batch_tokens = micro_batch_tokens
        self.rank, self.world_size = rank, world_size
        self._make, self._complete = make, complete
        self.taken = 0  # examples given out so far, over all epochs
        self._walk = Walk(self.mixture)
        whole = int(epochs)
        examples = self._walk.start_of(whole) + self.mixture.length(whole) * (epochs - whole)
        self.steps = max(1, round(examples / global_batch_size))

    def example(self, position: int) -> Trainable:
        """What comes at a place, counted from 0 over all epochs."""
        return self._walk[position]

    def next_step(self) -> Step:
        epoch = self.epoch
        chosen = [self.example(self.taken + i) for i in range(self.global_batch_size)]
        self.taken += self.global_batch_size
        mine = rows_of(chosen, self.micro_batch_tokens, self._make, self.rank, self.world_size)
        return Step(self._complete(mine, chosen), ends_epoch=self.epoch > epoch)

    @property
    def epoch(self) -> int:
        """How many whole epochs have been given out."""
        return self._walk.epoch_of(self.taken)

    def state_dict(self) -> dict[str, Any]:
        return {
            "version": _STATE,
            "taken": self.taken,
            "seed": self.mixture.seed,
            "examples": len(self.mixture),
            "fingerprint": self.mixture.fingerprint,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises InputError when the state belongs to other data, another mix of it, or another seed."""
        if state.get("version") != _STATE:
            raise InputError(
                "the checkpoint is of an earlier version of strop and does not tell which data it was made with, so "
                "this may not be the same data; start in a new run folder, or go on with that version."
            )
        mine = self.state_dict()
        if any(state[name] != mine[name] for name in ("seed", "examples", "fingerprint")):
            raise InputError(
                f"the checkpoint was made with other data, or another mix or seed: {state['examples']} examples and "
                f"seed {state['seed']}, while this run has {mine['examples']} and {mine['seed']}; use the same data "
                "and seed, or start in a new run folder."
            )
        self.taken = state["taken"]

    def roll_back(self, state: dict[str, Any], reason: str) -> None:
        """Check an earlier ``state``, and stay where it is now: what came since is left out, and as many examples
        follow at the end (Chowdhery et al. 2022, arXiv:2204.02311, section 5.1)."""
        taken = self.taken
        self.load_state_dict(state)
        self.taken = taken


def fill(like: Batch) -> Batch:
    """A row of a single token that nothing is trained on, with the streams of another row."""
    fill = SimpleNamespace(tokens=like.tokens[:1].tolist(), loss_weights=[0.0])
    row = make_batch([fill], sequence_streams={name: [SHARED_VALUES.get(name, 0.0)] for name in like.sequence_streams})
    return replace(row, streams={name: values[:0] for name, values in like.streams.items()})


def rows_of(
    examples: Sequence[Any],
    micro_batch_tokens: int,
    make: Callable[[Sequence[Any]], Batch] = make_batch,
    rank: int = 0,
    world_size: int = 1,
) -> list[Batch]:
    """All examples once, in flat rows, or this rank's share of these: every ``world_size``-th, and one of a single
    token that nothing is trained on where others have one more, since the ranks go through the model together.
    Raises InputError when an example is longer than a row."""
    for example in examples:
        _check_fits(example, micro_batch_tokens)
    rows = pack([len(e.tokens) for e in examples], micro_batch_tokens)
    mine = [make([examples[i] for i in row]) for row in rows[rank::world_size]]
    if len(mine) * world_size < len(rows):
        mine.append(fill(make(examples[:1])))
    return mine


def _check_fits(example: Trainable, row_tokens: int) -> None:
    length = len(example.tokens)
    if length > row_tokens:
        raise InputError(
            f"{example.place}: has {length} tokens and a row holds {row_tokens}; "
            f"raise micro_batch_tokens to at least {length} or lower max_length."
        )
