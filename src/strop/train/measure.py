"""What is told of the rows of a step, or of evaluation data: the loss, its components and the objective's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from strop.objectives.objective import Objective
from strop.train.world import World

if TYPE_CHECKING:
    from strop.data.batch import Batch
    from strop.model.policy import Policy


class Row(NamedTuple):
    """One row: ``parts``, its loss components as `Objective.loss` gives them; ``metrics``: (sum, count) by name."""

    parts: Mapping[str, Tensor]
    metrics: Mapping[str, tuple[Tensor, Tensor]]

    def scaled(self, totals: Mapping[str, float]) -> Tensor:
        """This row's share of the loss, a scalar that may be on the graph."""
        return sum(part / (totals[name] or 1.0) for name, part in self.parts.items())

    def detached(self) -> Row:
        return Row({name: part.detach() for name, part in self.parts.items()}, self.metrics)


def forward(policy: Policy, objective: Objective, batch: Batch, gradient: Tensor | None = None) -> Row:
    """``gradient``: see `Policy.forward`."""
    outputs = policy(batch, objective.want, gradient)
    parts = objective.loss(outputs, batch)
    with torch.no_grad():
        return Row(parts, dict(objective.metrics(outputs, batch)))


def normalisers(objective: Objective, batches: Iterable[Batch]) -> dict[str, float]:
    """Of all batches together, by component."""
    totals: dict[str, float] = {}
    for batch in batches:
        for name, value in objective.normalisers(batch).items():
            totals[name] = totals.get(name, 0.0) + value
    return totals


def summary(rows: Sequence[Row], totals: Mapping[str, float], world: World) -> dict[str, float]:
    """``{"loss": …, component: …}`` (nats; components where there are several) and metrics, summed in the order of rows
    and ranks.

    A metric is sum over count; one that nothing counted for is left out.
    """
    sums: dict[tuple[str, str], Tensor | float] = {}
    for row in rows:
        named = {("part", name): part for name, part in row.parts.items()}
        for name, (total, count) in row.metrics.items():
            named |= {("sum", name): total, ("count", name): count}
        for key, value in named.items():
            sums[key] = sums[key] + value if key in sums else value
    whole = world.sum({key: float(value) for key, value in sums.items()})
    values = {name: whole.get(("part", name), 0.0) / (totals[name] or 1.0) for name in totals}
    counted = [name for (kind, name), value in whole.items() if kind == "count" and value]
    metrics = {name: whole["sum", name] / whole["count", name] for name in counted}
    return {"loss": sum(values.values()), **(values if len(values) > 1 else {}), **metrics}


@torch.no_grad()
def evaluation(
    policy: Policy, objective: Objective, batches: Iterable[Batch], world: World | None = None
) -> dict[str, float]:
    """``eval_loss`` (nats), normalised over all of these fixed batches, and the objective's metrics as ``eval_…``.

    With several ranks, over what each of them brings.
    """
    world = world or World.single()
    training = policy.training
    policy.eval()
    batches = [b.to(policy.compute.device) for b in batches]
    rows = [forward(policy, objective, batch) for batch in batches]
    policy.train(training)
    totals = world.sum(normalisers(objective, batches))
    found = summary(rows, totals, world)
    return {f"eval_{name}": value for name, value in found.items() if name not in totals}
