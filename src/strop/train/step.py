"""One optimiser step, and the loss without one."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from strop.data.batch import Batch
from strop.model.policy import Policy
from strop.objectives.objective import Objective
from strop.train.masters import Masters


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
    large batch. ``optimizer`` steps the tensors of ``masters``; None: the policy's own float32 weights.

    Returns ``{"loss": total, component: value …}`` (nats) and the gradient's 2-norm before clipping. Raises
    FloatingPointError, with the weights untouched, when the gradient is not finite.
    """
    masters = masters or Masters(policy, torch.float32)
    batches = [b.to(policy.compute.device) for b in batches]
    totals = _totals(objective, batches)
    optimizer.zero_grad()
    sums: dict[str, Tensor] = {}
    for batch in batches:
        outputs = policy(batch, objective.want, objective.linear(batch, totals))
        parts = objective.loss(outputs, batch)
        sum(part / (totals[name] or 1.0) for name, part in parts.items()).backward()
        for name, part in parts.items():
            sums[name] = sums.get(name, 0.0) + part.detach()
    norm = torch.nn.utils.clip_grad_norm_(masters.tensors(), max_grad_norm).item()
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"the gradient is {norm}: training has diverged. The weights are as they were before this step; "
            "lower learning_rate, or look at the conversations of this step."
        )
    optimizer.step()
    masters.push()
    values = {name: total.item() / (totals[name] or 1.0) for name, total in sums.items()}
    return {"loss": sum(values.values()), **(values if len(values) > 1 else {})}, norm


@torch.no_grad()
def evaluation_loss(policy: Policy, objective: Objective, batches: Iterable[Batch]) -> float:
    """The objective's loss (nats) over fixed batches, normalised over all of them together."""
    training = policy.training
    policy.eval()
    batches = [b.to(policy.compute.device) for b in batches]
    totals = _totals(objective, batches)
    loss = 0.0
    for batch in batches:
        parts = objective.loss(policy(batch, objective.want), batch)
        loss += sum(part.item() / (totals[name] or 1.0) for name, part in parts.items())
    policy.train(training)
    return loss


def _totals(objective: Objective, batches: Iterable[Batch]) -> dict[str, float]:
    """Normalisers of the step, by component."""
    totals: dict[str, float] = {}
    for batch in batches:
        for name, value in objective.normalisers(batch).items():
            totals[name] = totals.get(name, 0.0) + value
    return totals
