"""One optimiser step, and what is told of its rows or of evaluation data: the loss, its components and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from strop.common.console import working
from strop.common.heartbeat import beat
from strop.objectives.objective import Objective
from strop.train.weights import Weights
from strop.train.world import World, added

if TYPE_CHECKING:
    from strop.data.batch import Batch
    from strop.model.policy import Policy


def gradients(
    weights: Weights, objective: Objective, batches: Sequence[Batch], world: World | None = None
) -> tuple[dict[str, float], float]:
    """The gradient of a global batch, in the ``.grad`` of ``weights.named``; ``batches`` are this rank's micro-batches.

    Each loss component is divided by its normaliser summed over all micro-batches and ranks, so the gradient is that of
    one large batch. Returns ``{"loss": total, component: value …}`` (nats) with the objective's metrics, and the
    gradient's 2-norm, the same on every rank. Where nothing counts on any of them (every normaliser is 0), there is an
    ``untrained`` of 1 too.
    """
    world = world or World()
    # While the rows are on the host: numbers of a GPU are waited for.
    totals = world.sum(added(objective.normalisers(batch) for batch in batches))
    batches = [b.to(weights.policy.compute.device) for b in batches]
    weights.begin(len(batches) * world.size)
    rows = []
    for batch in batches:
        beat("a row in training")
        parts, told = _forward(weights.policy, objective, batch, objective.linear(batch, totals))
        sum(part / (totals[name] or 1.0) for name, part in parts.items()).backward()
        rows.append(told)
    weights.sum_gradients(world)
    untrained = {} if any(totals.values()) else {"untrained": 1.0}
    return {**_summary(rows, totals, world), **untrained}, weights.gradient_norm()


def optimizer_step(
    weights: Weights,
    objective: Objective,
    batches: Sequence[Batch],
    max_grad_norm: float,
    world: World | None = None,
) -> tuple[dict[str, float], float]:
    """One optimiser step over a global batch; arguments and result as `gradients`, whose norm is that before clipping.

    Where nothing counts (``untrained``) there is none: a gradient of 0 would still move weights, by the optimiser's
    moments and by weight decay.

    Raises FloatingPointError, with the weights untouched, when the loss or the gradient is not finite.
    """
    told, norm = gradients(weights, objective, batches, world)
    if not (math.isfinite(norm) and math.isfinite(told["loss"])):  # -log 0 is infinite with a finite gradient
        raise FloatingPointError(
            f"the loss is {told['loss']} and the gradient's norm {norm}; the weights are as they were before this step."
        )
    if "untrained" in told:
        return told, norm
    weights.optimizer.step(min(1.0, max_grad_norm / (norm + 1e-6)))
    weights.push()
    return told, norm


def evaluation(
    policy: Policy, objective: Objective, batches: Iterable[Batch], world: World | None = None
) -> dict[str, float]:
    """``eval_loss`` (nats), normalised over all of these fixed batches, and the objective's metrics as ``eval_…``.

    With several ranks, over what each of them brings.
    """
    world = world or World()
    batches = list(batches)
    totals = world.sum(added(objective.normalisers(batch) for batch in batches))
    rows = []
    with policy.measuring(), working("evaluation loss: rows", len(batches)) as work:
        for batch in batches:
            rows.append(_forward(policy, objective, batch.to(policy.compute.device))[1])
            work.advance()
    found = _summary(rows, totals, world)
    return {f"eval_{name}": value for name, value in found.items() if name not in totals}


def _forward(
    policy: Policy, objective: Objective, batch: Batch, gradient: Tensor | None = None
) -> tuple[dict[str, Tensor], dict[tuple[str, str], Tensor]]:
    """A row's loss components, and what is told of it by ``(kind, name)``: these; sums, counts and largest values."""
    outputs = policy(batch, objective.want, gradient, objective.temperature)
    parts = objective.loss(outputs, batch)
    told = {("part", name): part.detach() for name, part in parts.items()}
    with torch.no_grad():
        for name, (value, count) in objective.metrics(outputs, batch).items():
            told |= {("max", name): value} if count is None else {("sum", name): value, ("count", name): count}
    return parts, told


def _summary(
    rows: Sequence[Mapping[tuple[str, str], Tensor]], totals: Mapping[str, float], world: World
) -> dict[str, float]:
    """``{"loss": …, component: …}`` (nats; components where there are several) and metrics, summed in the order of rows
    and ranks.

    A metric is sum over count, or the largest value; one that nothing counted for is left out.
    """
    sums = added({key: value for key, value in row.items() if key[0] != "max"} for row in rows)
    whole = world.sum({key: float(value) for key, value in sums.items()})
    maxima = ({name: float(value) for (kind, name), value in row.items() if kind == "max"} for row in rows)
    largest = world.max(added(maxima, max))
    values = {name: whole.get(("part", name), 0.0) / (totals[name] or 1.0) for name in totals}
    counted = [name for (kind, name), value in whole.items() if kind == "count" and value]
    metrics = {name: whole["sum", name] / whole["count", name] for name in counted}
    return {"loss": sum(values.values()), **(values if len(values) > 1 else {}), **metrics, **largest}
