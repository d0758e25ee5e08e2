"""Flat batches: sequences one after another in a row, no padding, and the one place where targets are shifted.

A sequence may continue another one of the same row (its parent), so what several share is computed once.

Shapes: T tokens in the row, S trained positions in it (S <= T but for shared ones), N sequences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Trainable(Protocol):
    """What a batch needs of an example: `strop.chat.Example` has it, and `PreparedExample`."""

    @property
    def tokens(self) -> Sequence[int]: ...

    @property
    def loss_weights(self) -> Sequence[float]: ...

    @property
    def place(self) -> str: ...


@dataclass(frozen=True)
class Batch:
    """One flat row.

    ``tokens [T]`` int64; ``positions [T]`` int64, from 0 within each sequence, or from where its parent ends;
    ``seq_lens``: N own lengths, without the parent's, and ``parent``: N indices of the sequence that each one continues
    (-1 = none; a parent comes before its children); both steer control flow, so they stay on the host;
    ``trained_index [S]`` int64, the position whose hidden state predicts ``labels [S]`` int64 (it may repeat: the last
    position of a parent predicts the first token of each child); ``weights [S]`` float32, ``seq_index [S]`` int64, the
    sequence that each trained position counts for; ``streams``: named per-token float32 ``[S]`` values such as
    ``advantages`` or ``old_logprobs``; ``sequence_streams``: the same per sequence, float32 ``[N]``.
    """

    tokens: Tensor
    positions: Tensor
    seq_lens: tuple[int, ...]
    trained_index: Tensor
    labels: Tensor
    weights: Tensor
    seq_index: Tensor
    streams: Mapping[str, Tensor] = field(default_factory=dict)
    parent: tuple[int, ...] = ()
    sequence_streams: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self):
        if not self.parent:
            object.__setattr__(self, "parent", (-1,) * len(self.seq_lens))

    @property
    def sequences(self) -> int:
        return len(self.seq_lens)

    def to(self, device: torch.device) -> Batch:
        def move(x: Tensor) -> Tensor:
            return x.to(device, non_blocking=True)

        names = ("tokens", "positions", "trained_index", "labels", "weights", "seq_index")
        return replace(
            self,
            **{name: move(getattr(self, name)) for name in names},
            streams={k: move(v) for k, v in self.streams.items()},
            sequence_streams={k: move(v) for k, v in self.sequence_streams.items()},
        )


@dataclass(frozen=True)
class Targets:
    """The trained tokens of one example: S' of them.

    ``sequence``: the one that they count for; ``places [S']``: where they stand in the example, its shared tokens
    counted, never 0; ``labels [S']`` and ``weights [S']``; ``streams``: values ``[S']`` by name.
    """

    sequence: int
    places: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    streams: Mapping[str, np.ndarray]


def targets_of(
    sequence: int, tokens: Sequence[int], loss_weights: Sequence[float], streams: Mapping[str, Sequence[float]], base=0
) -> Targets:
    """The trained tokens of ``tokens``, the first of which stands at place ``base`` of its example.

    A token without weight is none, and neither is the token at place 0: nothing stands before it.
    """
    weights = np.asarray(loss_weights, np.float32)
    (own,) = np.nonzero((weights != 0) & (np.arange(base, base + len(weights)) > 0))
    picked = {name: np.asarray(values, np.float32)[own] for name, values in streams.items()}
    return Targets(sequence, own + base, np.asarray(tokens, np.int64)[own], weights[own], picked)


def join(
    sequences: Sequence[Sequence[int]],
    parent: Sequence[int],
    targets: Sequence[Targets],
    sequence_streams: Mapping[str, Sequence[float]],
) -> Batch:
    """One row of ``sequences`` (own tokens), each after ``parent``'s, with ``targets`` moved to what predicts them.

    This is the shift: the token at place ``p`` of its example is the label of the position at place ``p - 1``, which
    may be an ancestor's.
    """
    lens = [len(tokens) for tokens in sequences]
    starts = np.concatenate([[0], np.cumsum(lens)[:-1]])
    places = []  # place of every sequence's first own token
    for p in parent:
        places.append(0 if p < 0 else places[p] + lens[p])

    def locate(sequence: int, place: np.ndarray) -> np.ndarray:
        """Flat index of the tokens at these places of the chain that ends with ``sequence``."""
        found = starts[sequence] + place - places[sequence]
        above = parent[sequence]
        while above >= 0:
            found = np.where(place < places[above] + lens[above], starts[above] + place - places[above], found)
            above = parent[above]
        return found

    def column(values: list[np.ndarray], dtype) -> Tensor:
        return torch.from_numpy(np.concatenate([np.empty(0, dtype), *values]).astype(dtype, copy=False))

    names = targets[0].streams if targets else ()
    return Batch(
        tokens=column([np.asarray(tokens, np.int64) for tokens in sequences], np.int64),
        positions=column([np.arange(a, a + n) for a, n in zip(places, lens, strict=True)], np.int64),
        seq_lens=tuple(lens),
        trained_index=column([locate(t.sequence, t.places - 1) for t in targets], np.int64),
        labels=column([t.labels for t in targets], np.int64),
        weights=column([t.weights for t in targets], np.float32),
        seq_index=column([np.full(len(t.places), t.sequence) for t in targets], np.int64),
        streams={name: column([t.streams[name] for t in targets], np.float32) for name in names},
        parent=tuple(parent),
        sequence_streams={k: torch.tensor(v, dtype=torch.float32) for k, v in sequence_streams.items()},
    )


def make_batch(
    examples: Sequence[Trainable],
    streams: Mapping[str, Sequence[Sequence[float]]] | None = None,
    sequence_streams: Mapping[str, Sequence[float]] | None = None,
    parent: Sequence[int] | None = None,
) -> Batch:
    """Join examples into one flat row.

    ``loss_weights`` are aligned with the token itself; here, and nowhere else, they become next-token targets. The
    first token of a sequence without a parent has nothing before it and is never a target. ``streams`` are per example
    and aligned with the tokens like ``loss_weights``; ``sequence_streams`` hold one value per example. With ``parent``
    an example holds its own tokens only and continues the one named.
    """
    parent = (-1,) * len(examples) if parent is None else tuple(parent)
    bases: list[int] = []
    targets = []
    for i, (e, p) in enumerate(zip(examples, parent, strict=True)):
        if not -1 <= p < i:
            raise ValueError(f"sequence {i} continues {p}; a parent comes before its children, and -1 is none.")
        bases.append(0 if p < 0 else bases[p] + len(examples[p].tokens))
        own = {name: rows[i] for name, rows in (streams or {}).items()}
        targets.append(targets_of(i, e.tokens, e.loss_weights, own, bases[i]))
    return join([e.tokens for e in examples], parent, targets, sequence_streams or {})
