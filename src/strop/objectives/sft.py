"""Supervised fine-tuning: cross-entropy on the trained tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from strop.objectives.reduction import Reduction, normaliser, position_factors, weighted_sum

if TYPE_CHECKING:
    from strop.data.batch import Batch


class CrossEntropy:
    """``-sum(w_s * log p(label_s)) / sum(w_s)`` in nats per token (``token_mean``), teacher forcing.

    ``reduction`` ``seq_mean`` gives every sequence the same say whatever its length; ``seq_sum`` divides the summed
    loss by the number of sequences.
    """

    want = ("logprobs",)

    def __init__(self, reduction: Reduction = "token_mean"):
        self.reduction: Reduction = reduction

    def normalisers(self, batch: Batch) -> dict[str, float]:
        return {"cross_entropy": normaliser(batch, self.reduction)}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        return {"cross_entropy": weighted_sum(-outputs["logprobs"], position_factors(batch, self.reduction))}
