"""The KL divergence to a reference: its per-token estimates, what their gradients are, and a coefficient that adapts.

For a token ``y`` drawn from the policy π, with ``δ = log π(y) - log π_ref(y)`` (Schulman 2020, Approximating KL
divergence):

| | estimate | as a value | gradient in the loss, in expectation over y ~ π |
|---|---|---|---|
| ``k1`` | ``δ`` | unbiased, may be negative | 0: ``E[∇ log π] = 0``, so it only adds noise |
| ``k2`` | ``δ²/2`` | biased, not negative | that of KL(π‖π_ref) |
| ``k3`` | ``exp(-δ) - 1 + δ`` | unbiased, not negative | that of KL(π_ref‖π), the other direction |

``k3``'s is ``E[(1 - exp(-δ)) ∇ log π] = -Σ_v π_ref(v) ∇ log π(v)``. The two directions agree to first order near the
reference, and the second is bounded where the policy has left it. Times the ratio ``r = π/π_old`` of tokens drawn from
π_old (``kl_weighted``; DeepSeek-AI 2025, DeepSeek-V3.2), ``r·k1`` and ``r·k3`` have the gradient of KL(π‖π_ref),
``∇ Σ_v π(v) k(v)``; ``r·k2`` has that of its own expectation, which is another one. In the reward no gradient goes
through the estimate; the policy gradient of ``-k1`` is that of -KL(π‖π_ref), those of ``-k2`` and ``-k3`` are not.

All of this is for one token in a given context. That a token also decides in which contexts the policy will be, and how
far from the reference it is there, counts only in the reward, where an answer's KL divergence is summed up.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from strop.objectives.policy_settings import KLEstimator

LARGEST = 20.0
"""Nats: bound of a log-ratio in an exponential, so that one broken token gives a large number and no infinite one."""


def kl_estimate(logprobs: Tensor, ref_logprobs: Tensor, estimator: KLEstimator) -> Tensor:
    """Per-token estimates of KL(π‖π_ref) from natural log-probabilities of the tokens drawn, each ``[S]``.

    ``k3`` is linear in δ below ``-LARGEST``, and finite there in float32.
    """
    difference = logprobs - ref_logprobs
    if estimator == "k1":
        return difference
    if estimator == "k2":
        return difference.square() / 2
    # Beyond the bound the exponential goes on as the straight line that touches it there, gradient and all: clamped, it
    # would leave the gradient to the linear term alone, which pushes away from the reference.
    beyond = torch.relu(-difference - LARGEST)
    return torch.expm1((-difference).clamp_max(LARGEST)) + math.exp(LARGEST) * beyond + difference


class AdaptiveKL:
    """The coefficient of a KL penalty in the reward, steered so that the divergence stays near a target (Ziegler et
    al. 2019, section 2.2): ``e = clip(KL/target - 1, -0.2, 0.2)``, then ``coef ← coef·(1 + 0.1·e)``.

    ``target`` in nats per answer; None: the coefficient stays.
    """

    def __init__(self, coef: float, target: float | None):
        self.coef, self._target = coef, target

    def update(self, kl: float) -> None:
        """After a batch of rollouts whose answers had a KL divergence of ``kl`` nats in the mean."""
        if self._target is not None:
            self.coef *= 1 + 0.1 * min(0.2, max(-0.2, kl / self._target - 1))

    def state_dict(self) -> dict[str, Any]:
        return {"coef": self.coef}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.coef = state["coef"]
