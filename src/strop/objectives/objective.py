"""What the training loop asks of an objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from strop.data.batch import Batch


class Objective(Protocol):
    """Pure functions over 1-D tensors of length S.

    ``want`` names the Policy outputs that ``loss`` reads. ``normalisers(batch)`` gives one number per loss component
    and depends on the batch alone. ``loss(outputs, batch)`` gives, under the same names, sums that are still on the
    graph; the step's loss is ``sum over components of (sum over micro-batches of loss) / (sum of normalisers)``.
    """

    want: tuple[str, ...]

    def normalisers(self, batch: Batch) -> dict[str, float]: ...

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]: ...
