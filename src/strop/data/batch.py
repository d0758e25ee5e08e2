"""Flat batches: sequences one after another in a row, no padding, and the one place where targets are shifted.

Shapes: T tokens in the row, S trained positions in it (S <= T), N sequences.
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

    ``tokens [T]`` int64; ``positions [T]`` int64, from 0 within each sequence; ``seq_lens`` N lengths (they steer
    control flow, so they stay on the host); ``trained_index [S]`` int64, the position whose hidden state predicts
    ``labels [S]`` int64; ``weights [S]`` float32, ``seq_index [S]`` int64, the sequence of each trained position;
    ``streams``: named per-token float32 ``[S]`` values such as ``advantages`` or ``old_logprobs``.
    """

    tokens: Tensor
    positions: Tensor
    seq_lens: tuple[int, ...]
    trained_index: Tensor
    labels: Tensor
    weights: Tensor
    seq_index: Tensor
    streams: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def sequences(self) -> int:
        return len(self.seq_lens)

    def to(self, device: torch.device) -> Batch:
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("tokens", "positions", "trained_index", "labels", "weights", "seq_index")
        }
        return replace(self, **moved, streams={k: v.to(device, non_blocking=True) for k, v in self.streams.items()})


def make_batch(examples: Sequence[Trainable], streams: Mapping[str, Sequence[Sequence[float]]] | None = None) -> Batch:
    """Join examples into one flat row.

    ``loss_weights`` are aligned with the token itself; here, and nowhere else, they become next-token targets: token
    ``i`` with a weight is the label of position ``i - 1``. The first token of a sequence has nothing before it and is
    never a target. ``streams`` are per example and aligned with the tokens like ``loss_weights``.
    """
    lens = tuple(len(e.tokens) for e in examples)
    tokens = torch.from_numpy(np.concatenate([np.asarray(e.tokens, np.int64) for e in examples]))
    weights = torch.from_numpy(np.concatenate([np.asarray(e.loss_weights, np.float32) for e in examples]))
    positions = torch.cat([torch.arange(n) for n in lens])
    targets = torch.nonzero((weights != 0) & (positions > 0))[:, 0]  # flat index of every trained token
    owner = torch.repeat_interleave(torch.arange(len(lens)), torch.tensor(lens))
    flat_streams = {
        name: torch.tensor([v for row in rows for v in row], dtype=torch.float32)[targets]
        for name, rows in (streams or {}).items()
    }
    return Batch(
        tokens=tokens,
        positions=positions,
        seq_lens=lens,
        trained_index=targets - 1,
        labels=tokens[targets],
        weights=weights[targets],
        seq_index=owner[targets],
        streams=flat_streams,
    )
