"""A loss of the user's own: a function gives each trained token's, and the rest is as in every other objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from strop.common.errors import InputError
from strop.objectives.objective import Objective
from strop.objectives.reduction import factors, normaliser
from strop.objectives.settings import Reduction

if TYPE_CHECKING:
    from strop.data.batch import Batch

TokenLoss = Callable[[Mapping[str, Tensor], "Batch"], Tensor]
"""(outputs of the policy, batch) -> the loss of each trained token, ``[S]``, on the graph."""


class OwnLoss(Objective):
    """``function(outputs, batch)`` reduced by ``reduction``. ``outputs`` has what the function's attribute ``want``
    names (`Policy.forward`), by default ``logprobs [S]`` alone: natural logs, of ``batch.labels``.

    ``batch.weights`` are multiplied in by the reduction, so the result does not depend on how a step is cut into rows.
    Raises InputError where the function gives anything but one number per trained token.
    """

    def __init__(self, function: TokenLoss, reduction: Reduction = "token_mean", constant: float | None = None):
        self._function, self._reduction, self._constant = function, reduction, constant or 1.0
        self.want = tuple(getattr(function, "want", ("logprobs",)))

    def normalisers(self, batch: Batch) -> dict[str, float]:
        return {"own": normaliser(batch, self._reduction, self._constant)}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        losses = self._function(outputs, batch)
        name = getattr(self._function, "__name__", "objective")
        if not isinstance(losses, Tensor) or losses.shape != batch.labels.shape:
            found = list(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            raise InputError(
                f"{name} gave {found}; it gives the loss of each trained token, {list(batch.labels.shape)}."
            )
        if torch.is_grad_enabled() and not losses.requires_grad and any(one.requires_grad for one in outputs.values()):
            raise InputError(
                f"{name} gave losses that no gradient goes back from; compute them of the outputs, without detach()."
            )
        return {"own": (losses * factors(batch, self._reduction)).sum()}

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        if "logprobs" not in outputs:
            return {}
        return {"nll": ((-outputs["logprobs"] * batch.weights).sum(), batch.weights.sum())}
