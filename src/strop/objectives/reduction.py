"""How per-token losses of a step become one number.

Each reduction is a factor per trained position and a normaliser per batch. The normaliser depends on the batch alone,
so it is summed over micro-batches and ranks before the first backward pass, and the result does not depend on how the
step was cut up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from strop.data.batch import Batch

Reduction = Literal["token_mean", "seq_mean", "seq_sum"]


def _weight_per_sequence(batch: Batch) -> Tensor:
    """Sum of the weights of every sequence, float32 ``[N]``."""
    return batch.weights.new_zeros(batch.sequences).index_add_(0, batch.seq_index, batch.weights)


def normaliser(batch: Batch, reduction: Reduction) -> float:
    """What the summed loss of a step is divided by, from this batch's share of it.

    ``token_mean``: the sum of weights. ``seq_mean`` and ``seq_sum``: the number of sequences with a trained token.
    """
    if reduction == "token_mean":
        return batch.weights.sum().item()
    return float((_weight_per_sequence(batch) > 0).sum().item())


def position_factors(batch: Batch, reduction: Reduction) -> Tensor:
    """Factor of each trained position's loss, float32 ``[S]``; ``sum(factor * loss) / sum(normaliser)`` is the loss.

    ``token_mean``, ``seq_sum``: the weight itself. ``seq_mean``: the weight over its sequence's total weight.
    """
    if reduction == "seq_mean":
        return batch.weights / _weight_per_sequence(batch)[batch.seq_index]
    return batch.weights


def weighted_sum(values: Tensor, factors: Tensor) -> Tensor:
    """Sum of ``values * factors`` over S, kept on the graph when S is 0."""
    return torch.sum(values * factors)
