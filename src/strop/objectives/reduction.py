"""How the losses of tokens become one number.

A reduction is a factor per trained position and a normaliser per batch. The normaliser depends on the batch alone, so
it is summed over micro-batches and ranks before the first backward pass, and the result does not depend on how the step
was cut up. With token losses ``l_s``, weights ``w_s``, and N sequences that have a trained token:

- ``token_mean``: ``Σ w_s l_s / Σ w_s``; every token has the same say.
- ``seq_mean``: ``Σ_n (Σ_{s in n} w_s l_s / Σ_{s in n} w_s) / N``; every sequence has the same say.
- ``seq_sum``: ``Σ w_s l_s / N``; a sequence has a say by its length.
- ``constant``: ``Σ w_s l_s / (N · c)`` with a fixed ``c``, so a token's say does not depend on the lengths in the batch
  (Liu et al. 2025, Understanding R1-Zero-Like Training, "Dr. GRPO": ``c`` is the longest answer allowed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from strop.objectives.objective import weight_per_sequence
from strop.objectives.settings import Reduction

if TYPE_CHECKING:
    from strop.data.batch import Batch


def factors(batch: Batch, reduction: Reduction) -> Tensor:
    """Factor of each trained position's loss, float32 ``[S]``."""
    if reduction == "seq_mean":
        return batch.weights / weight_per_sequence(batch)[batch.seq_index]
    return batch.weights


def normaliser(batch: Batch, reduction: Reduction, constant: float = 1.0) -> float:
    """What the sum of the losses times their factors is divided by, once it is summed over the step."""
    if reduction == "token_mean":
        return batch.weights.sum().item()
    return (weight_per_sequence(batch) > 0).sum().item() * constant
