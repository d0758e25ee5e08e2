"""What model families do to logits after the head, and temperature, which comes last; for trainer and sampler alike.

Shapes: S rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogitsTransform:
    """``z = cap · tanh(scale · x / cap)``, or ``scale · x`` where ``cap`` is 0 (Granite, Cohere; Gemma 2 and 3)."""

    scale: float = 1.0
    cap: float = 0.0

    def at(self, temperature: float) -> LogitsTransform:
        """The same with its result divided by ``temperature`` > 0, which is again a scale and a cap, exactly.

        ``cap/T · tanh((scale/T) · x / (cap/T)) = cap · tanh(scale · x / cap) / T``. Raises ValueError for 0 or less:
        greedy choice is no distribution, and its log-probabilities are those at temperature 1.
        """
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}, and logits are divided by it; greedy is argmax, at 1.")
        return self if temperature == 1 else LogitsTransform(self.scale / temperature, self.cap / temperature)

    def __call__(self, x: Tensor) -> Tensor:
        """``x [S,V]`` -> float32 ``z [S,V]``, a new tensor; differentiable."""
        z = x.to(torch.float32, copy=True) if self.scale == 1 else x.float() * self.scale
        if not self.cap:
            return z
        z = z.div_(self.cap).tanh_()
        return z * self.cap if z.requires_grad else z.mul_(self.cap)

    def slope_(self, gradient: Tensor, z: Tensor) -> Tensor:
        """Gradient with respect to ``x`` from that with respect to ``z``, in place; ``z`` is overwritten too."""
        if self.cap:
            gradient.mul_(z.div_(self.cap).square_().neg_().add_(1))
        return gradient.mul_(self.scale) if self.scale != 1 else gradient


def candidate_transforms(config) -> dict[str, LogitsTransform]:
    """The transforms that a model's config values may mean.

    The same name means different things in different families (``logits_scaling`` divides in Granite and multiplies
    elsewhere), so nothing is assumed here: ``Policy`` takes the candidate that reproduces the model's own logits.
    """
    found = {"identity": LogitsTransform()}
    config = config.get_text_config()
    for name in ("logit_scale", "logits_scaling", "output_multiplier"):
        if value := getattr(config, name, None):
            found[f"{name} ×"] = LogitsTransform(scale=value)
            found[f"{name} ÷"] = LogitsTransform(scale=1 / value)
    for name in ("final_logit_softcapping", "softcap"):
        if value := getattr(config, name, None):
            found[f"{name} tanh"] = LogitsTransform(cap=value)
    return found
