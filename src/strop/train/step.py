"""One optimiser step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from strop.data.batch import Batch
from strop.model.policy import Policy
from strop.objectives.objective import Objective
from strop.train.masters import Masters
from strop.train.measure import forward, normalisers, summary


def optimizer_step(
    policy: Policy,
    objective: Objective,
    optimizer,
    batches: Iterable[Batch],
    max_grad_norm: float,
    masters: Masters | None = None,
) -> tuple[dict[str, float], float]:
    """One optimiser step over the micro-batches of a global batch.

    Each loss component is divided by its normaliser summed over all micro-batches, so the gradient is that of one
    large batch. ``optimizer`` (`Optimizers`) steps the tensors of ``masters``; None: the policy's float32 weights.

    Returns ``{"loss": total, component: value …}`` (nats) with the objective's metrics, and the gradient's 2-norm
    before clipping. Raises FloatingPointError, with the weights untouched, when the gradient is not finite.
    """
    masters = masters or Masters(policy, torch.float32)
    batches = [b.to(policy.compute.device) for b in batches]
    totals = normalisers(objective, batches)
    masters.begin(len(batches))
    rows = []
    for batch in batches:
        row = forward(policy, objective, batch, objective.linear(batch, totals))
        row.scaled(totals).backward()
        rows.append(row.detached())
    norm = masters.gradient_norm()
    if not math.isfinite(norm):
        raise FloatingPointError(f"the gradient is {norm}, and the weights are as they were before this step.")
    optimizer.step(min(1.0, max_grad_norm / (norm + 1e-6)))
    masters.push()
    loss, metrics = summary(rows, totals)
    return {**loss, **metrics}, norm
