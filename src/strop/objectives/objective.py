"""What the training loop asks of an objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from strop.data.batch import Batch


class Objective(Protocol):
    """Pure functions over 1-D tensors of length S.

    ``want`` names the Policy outputs that ``loss`` and ``metrics`` read. ``normalisers(batch)`` gives one number per
    loss component and depends on the batch alone. ``loss(outputs, batch)`` gives, under the same names, sums that are
    still on the graph; the step's loss is ``sum over components of (sum over micro-batches of loss) / (sum of
    normalisers)``.
    """

    want: tuple[str, ...]
    comparable: bool = True
    """Whether the loss on the same examples before and after training says what was learnt (a policy gradient's does
    not); then the source gives the same first step whenever it is made."""
    temperature: float = 1.0
    """What the policy divides logits by: log-probabilities of sampled tokens are those that the sampler drew from."""

    def normalisers(self, batch: Batch) -> dict[str, float]: ...

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]: ...

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor | None]]:
        """What is worth a look beside the loss: name -> (sum, count), scalars; their quotient over a step is shown.

        (value, None): the largest over the step is shown.
        """
        return {}

    def linear(self, batch: Batch, totals: Mapping[str, float]) -> Tensor | None:
        """The gradient of the step's loss with respect to ``logprobs``, float32 ``[S]``, where it is known beforehand.

        That is so when the loss is linear in ``logprobs`` and reads no other output of the head. ``totals`` are the
        normalisers summed over the step. None: only a backward pass can tell.
        """
        return None


def loss_named(objective: Objective) -> str:
    """The objective with its settings, in words: where they are others, a loss is of something else."""
    settings = {name: getattr(one, "__qualname__", one) for name, one in sorted(vars(objective).items())}
    return f"{type(objective).__qualname__} {settings}"


def weight_per_sequence(batch: Batch) -> Tensor:
    """Sum of the weights of every sequence, float32 ``[N]``."""
    return sum_per_sequence(batch.weights, batch)


def sum_per_sequence(values: Tensor, batch: Batch) -> Tensor:
    """``values [S]`` summed over each sequence's trained positions, ``[N]``."""
    return values.new_zeros(batch.sequences).index_add_(0, batch.seq_index, values)
