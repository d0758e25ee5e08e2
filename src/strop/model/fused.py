"""Norms and gated units of a model computed in one pass each, where a kernel for them is there.

No family is named: a module is taken when it is built like the usual one and computes the same on random numbers. The
mechanism of transformers for this (`kernelize`) loads kernels from a hub; the idea is the same, a module's `forward` is
replaced in this one model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from strop.model.cpu import elementwise as kernel


def fuse(model: nn.Module) -> int:
    """Have every usual norm and gated unit of ``model`` use a kernel where its input allows it; returns how many."""
    count = 0
    for module in model.modules():
        forward = _fused_norm(module) or _fused_unit(module)
        if forward is not None:
            module.forward = forward
            count += 1
    return count


def _fused_norm(module: nn.Module):
    """`x / rms(x) · w`, or `· (1 + w)` (Gemma)."""
    weight, eps = getattr(module, "weight", None), getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or weight is None or weight.dim() != 1 or eps is None:
        return None
    own = module.forward
    offset = next((offset for offset in (0.0, 1.0) if _same_norm(module, eps, offset)), None)
    if offset is None:
        return None

    def forward(x: Tensor) -> Tensor:
        if not kernel.supported(x):
            return own(x)
        weight = module.weight
        return kernel.rms_norm(x, weight + offset if offset else weight, eps)

    return forward


@torch.no_grad()
def _same_norm(module: nn.Module, eps: float, offset: float) -> bool:
    x = _random(3, len(module.weight), like=module.weight)
    usual = F.rms_norm(x.float(), x.shape[-1:], module.weight.float() + offset, eps)
    return torch.allclose(module.forward(x).float(), usual, rtol=2e-2 if x.dtype != torch.float32 else 1e-4, atol=1e-5)


def _fused_unit(module: nn.Module):
    """`down(silu(gate(x)) · up(x))`."""
    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    linear = all(isinstance(part, nn.Module) and hasattr(part, "in_features") for part in parts)  # also with adapters
    activation = getattr(module, "act_fn", None)
    if not linear or activation is None or not parts[0].weight.is_floating_point():
        return None
    if not _same_unit(module, activation):
        return None
    own = module.forward

    def forward(x: Tensor) -> Tensor:
        if not (kernel.supported(x) and module.gate_proj.out_features % 16 == 0):
            return own(x)
        gate, up = module.gate_proj(x), module.up_proj(x)
        product = kernel.silu_gate(gate, up)
        with _made_again(product, lambda: kernel.silu_gate(gate.detach(), up.detach())):
            return module.down_proj(product)

    return forward


def _made_again(product: Tensor, make) -> saved_tensors_hooks:
    """Inside, who saves ``product`` for the backward pass saves how it is made: a sixth of a Llama's activations."""
    place = product.data_ptr()  # its own while it lives, that is, inside
    return saved_tensors_hooks(
        lambda x: (make, x.shape) if x.data_ptr() == place and x.numel() == product.numel() else x,
        lambda saved: saved if isinstance(saved, Tensor) else saved[0]().view(saved[1]),
    )


@torch.no_grad()
def _same_unit(module: nn.Module, activation) -> bool:
    x = _random(3, module.gate_proj.in_features, like=module.gate_proj.weight)
    if not torch.equal(activation(x), F.silu(x)):
        return False
    usual = module.down_proj(F.silu(module.gate_proj(x)) * module.up_proj(x))
    return torch.allclose(module.forward(x), usual, rtol=2e-2 if x.dtype != torch.float32 else 1e-4, atol=1e-5)


def _random(*shape: int, like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator).to(like.device, like.dtype)
