"""How per-token losses of a step become one number.

Each reduction is a factor per trained position and a normaliser per batch. The normaliser depends on the batch alone,
so it is summed over micro-batches and ranks before the first backward pass, and the result does not depend on how the
step was cut up. With token losses ``l_s``, weights ``w_s``, and N sequences that have a trained token:

- ``token_mean``: ``Σ w_s l_s / Σ w_s``; every token has the same say.
- ``seq_mean``: ``Σ_n (Σ_{s in n} w_s l_s / Σ_{s in n} w_s) / N``; every sequence has the same say.
- ``seq_sum``: ``Σ w_s l_s / N``; a sequence has a say by its length.
- ``constant``: ``Σ w_s l_s / (N · c)`` with a fixed ``c``, so a token's say does not depend on the lengths in the batch
  (Liu et al. 2025, Understanding R1-Zero-Like Training, "Dr. GRPO": ``c`` is the longest answer allowed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from strop.objectives.settings import Reduction

if TYPE_CHECKING:
    from strop.data.batch import Batch


@dataclass(frozen=True)
class Reduce:
    """A reduction, with the ``constant`` (tokens) that the one of that name takes. Raises ValueError without it."""

    name: Reduction = "token_mean"
    constant: float | None = None

    def __post_init__(self):
        if (self.name == "constant") != (self.constant is not None):
            raise ValueError("give a constant with reduction `constant`, and with no other.")

    def normaliser(self, batch: Batch) -> float:
        """What the summed loss of a step is divided by, from this batch's share of it."""
        if self.name == "token_mean":
            return batch.weights.sum().item()
        return (weight_per_sequence(batch) > 0).sum().item() * (self.constant or 1.0)

    def factors(self, batch: Batch) -> Tensor:
        """Factor of each trained position's loss, float32 ``[S]``; ``sum(factor * loss) / sum(normaliser)`` is the
        loss."""
        if self.name == "seq_mean":
            return batch.weights / weight_per_sequence(batch)[batch.seq_index]
        return batch.weights


def weight_per_sequence(batch: Batch) -> Tensor:
    """Sum of the weights of every sequence, float32 ``[N]``."""
    return sum_per_sequence(batch.weights, batch)


def sum_per_sequence(values: Tensor, batch: Batch) -> Tensor:
    """``values [S]`` summed over each sequence's trained positions, ``[N]``."""
    return values.new_zeros(batch.sequences).index_add_(0, batch.seq_index, values)


def weighted_sum(values: Tensor, factors: Tensor) -> Tensor:
    """Sum of ``values * factors`` over S, kept on the graph when S is 0."""
    return torch.sum(values * factors)
