"""The matrix of an output layer, with the adapters that may stand beside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def head_weight(head: nn.Module) -> Tensor:
    """The matrix ``[V,D]`` that an output layer multiplies by, LoRA included; differentiable in what is trained.

    A head without adapters gives its own weight, and one that is trained whole its copy. With adapters it is
    W + scale · B A, made anew at each call (`strop.model.lora` refuses dropout and DoRA on a head, which are no such
    matrix). Known by what they have, since importing peft takes a second.
    """
    if not hasattr(head, "lora_A") or head.disable_adapters:
        return head.weight
    (name,) = head.active_adapters
    a, b = head.lora_A[name].weight, head.lora_B[name].weight  # [r,D], [V,r]
    return torch.addmm(head.weight, b, a, alpha=head.scaling[name])
