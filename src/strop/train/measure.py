"""What an objective shows beside its loss, added up over the micro-batches of a step or over evaluation data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from strop.objectives.objective import Objective
from strop.train.step import evaluation_loss

if TYPE_CHECKING:
    from strop.data.batch import Batch
    from strop.model.policy import Policy


class Measured(Objective):
    """``objective`` itself to whoever trains with it; `take` gives its metrics since the last call."""

    def __init__(self, objective: Objective):
        self._objective = objective
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def want(self) -> tuple[str, ...]:
        return self._objective.want

    def normalisers(self, batch: Batch) -> dict[str, float]:
        return self._objective.normalisers(batch)

    def linear(self, batch: Batch, totals: Mapping[str, float]) -> Tensor | None:
        return self._objective.linear(batch, totals)

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            for name, (total, count) in self._objective.metrics(outputs, batch).items():
                a, b = self._sums.get(name, (0.0, 0.0))
                self._sums[name] = a + total, b + count
        return self._objective.loss(outputs, batch)

    def take(self) -> dict[str, float]:
        """Sum over count by name; a metric that nothing counted for is left out."""
        sums, self._sums = self._sums, {}
        return {name: (total / count).item() for name, (total, count) in sums.items() if count.item()}


def evaluation(policy: Policy, objective: Objective, batches: Iterable[Batch]) -> dict[str, float]:
    """``eval_loss`` (see `evaluation_loss`) and the objective's metrics as ``eval_<name>``, over fixed batches."""
    measured = Measured(objective)
    loss = evaluation_loss(policy, measured, batches)
    return {"eval_loss": loss, **{f"eval_{name}": value for name, value in measured.take().items()}}
