"""Flat batches: sequences one after another in a row, no padding, and the one place where targets are shifted.

A sequence may continue another one of the same row (its parent), so what several share is computed once.

Shapes: T tokens in the row, S trained positions in it (S <= T but for shared ones), N sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class Trainable(Protocol):
    """What a batch needs of an example: `strop.chat.Example` has it, and `PreparedExample`."""

    @property
    def tokens(self) -> Sequence[int] | np.ndarray: ...

    @property
    def loss_weights(self) -> Sequence[float] | np.ndarray: ...

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
    ``advantages`` or ``old_logprobs`` (``choices [S,K]`` int64 and ``teacher_logprobs [S,K]``: of K tokens at each
    position); ``sequence_streams``: the same per sequence, float32 ``[N]``.
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

        moved = {name: move(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        for name in ("streams", "sequence_streams"):
            moved[name] = {key: move(value) for key, value in getattr(self, name).items()}
        return replace(self, **moved)


class Trained(NamedTuple):
    """An example to train: the ``sequence`` that its trained tokens count for, the place ``base`` of its first token.

    Places count shared tokens too. ``streams``: a value for each of its tokens, by name.
    """

    sequence: int
    example: Trainable
    streams: Mapping[str, Sequence[float]]
    base: int = 0


def join(
    sequences: Sequence[Sequence[int] | np.ndarray],
    parent: Sequence[int],
    trained: Sequence[Trained],
    sequence_streams: Mapping[str, Sequence[float]],
) -> Batch:
    """One row of ``sequences`` (own tokens), each after ``parent``'s, with the tokens of ``trained`` as targets.

    This is the shift: the token at place ``p`` of its example is the label of the position at place ``p - 1``, which
    may be an ancestor's. A token without weight is no target, and neither is the one at place 0.
    """
    lens = [len(tokens) for tokens in sequences]
    starts = np.concatenate([[0], np.cumsum(lens)[:-1]])
    places: list[int] = []  # place of every sequence's first own token
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

    def column(values: Iterable[Any], dtype=np.int64) -> Tensor:
        return torch.from_numpy(np.concatenate([np.empty(0, dtype), *(np.asarray(v, dtype) for v in values)]))

    weights = [np.asarray(one.example.loss_weights, np.float32) for one in trained]
    own = [np.flatnonzero((w != 0) & (np.arange(len(w)) + t.base > 0)) for w, t in zip(weights, trained, strict=True)]
    targets = list(zip(trained, own, strict=True))

    def picked(values: Iterable[Sequence[float] | np.ndarray], dtype=np.float32) -> Tensor:
        """The values of the targets, out of those of all tokens."""
        return column((np.asarray(v, dtype)[at] for v, at in zip(values, own, strict=True)), dtype)

    return Batch(
        tokens=column(sequences),
        positions=column(np.arange(a, a + n) for a, n in zip(places, lens, strict=True)),
        seq_lens=tuple(lens),
        trained_index=column(locate(one.sequence, at + one.base - 1) for one, at in targets),
        labels=picked((one.example.tokens for one in trained), np.int64),
        weights=picked(weights),
        seq_index=column(np.full(len(at), one.sequence) for one, at in targets),
        streams={
            name: picked(one.streams[name] for one in trained) for name in (trained[0].streams if trained else ())
        },
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
    trained = []
    for i, (e, p) in enumerate(zip(examples, parent, strict=True)):
        if not -1 <= p < i:
            raise ValueError(f"sequence {i} continues {p}; a parent comes before its children, and -1 is none.")
        bases.append(0 if p < 0 else bases[p] + len(examples[p].tokens))
        own = {name: rows[i] for name, rows in (streams or {}).items()}
        trained.append(Trained(i, e, own, bases[i]))
    return join([e.tokens for e in examples], parent, trained, sequence_streams or {})
