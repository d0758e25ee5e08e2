"""One optimiser step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from strop.data.batch import Batch
from strop.objectives.objective import Objective
from strop.train.measure import forward, normalisers, summary
from strop.train.weights import Weights
from strop.train.world import World


def gradients(
    weights: Weights, objective: Objective, batches: Sequence[Batch], world: World | None = None
) -> tuple[dict[str, float], float]:
    """The gradient of a global batch, in the ``.grad`` of ``weights.named``; ``batches`` are this rank's micro-batches.

    Each loss component is divided by its normaliser summed over all micro-batches and ranks, so the gradient is that of
    one large batch. Returns ``{"loss": total, component: value …}`` (nats) with the objective's metrics, and the
    gradient's 2-norm, the same on every rank.
    """
    world = world or World.single()
    batches = [b.to(weights.policy.compute.device) for b in batches]
    totals = world.sum(normalisers(objective, batches))
    weights.begin(len(batches) * world.size)
    rows = []
    for batch in batches:
        row = forward(weights.policy, objective, batch, objective.linear(batch, totals))
        row.scaled(totals).backward()
        rows.append(row.detached())
    world.sum_gradients(weights.named.values())
    return summary(rows, totals, world), weights.gradient_norm()


def optimizer_step(
    weights: Weights,
    objective: Objective,
    batches: Sequence[Batch],
    max_grad_norm: float,
    world: World | None = None,
) -> tuple[dict[str, float], float]:
    """One optimiser step over a global batch; arguments and result as `gradients`, whose norm is that before clipping.

    Raises FloatingPointError, with the weights untouched, when the loss or the gradient is not finite.
    """
    told, norm = gradients(weights, objective, batches, world)
    if not (math.isfinite(norm) and math.isfinite(told["loss"])):  # -log 0 is infinite with a finite gradient
        raise FloatingPointError(
            f"the loss is {told['loss']} and the gradient's norm {norm}; the weights are as they were before this step."
        )
    weights.optimizer.step(min(1.0, max_grad_norm / (norm + 1e-6)))
    weights.push()
    return told, norm
