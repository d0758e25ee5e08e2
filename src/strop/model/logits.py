"""What model families do to logits after the head.

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

    def __call__(self, x: Tensor) -> Tensor:
        """``x [S,V]`` -> float32 ``z [S,V]``, a new tensor."""
        z = x.to(torch.float32, copy=True) if self.scale == 1 else x.float() * self.scale
        return z.div_(self.cap).tanh_().mul_(self.cap) if self.cap else z

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
