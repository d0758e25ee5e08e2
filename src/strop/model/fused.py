"""Norms and gated units of a model computed in one pass each, where a kernel for them is there; adapters in few.

No family is named: a module is taken when it is built like the usual one and computes the same on random numbers. The
mechanism of transformers for this (`kernelize`) loads kernels from a hub; the idea is the same, a module's `forward` is
replaced in this one model.
"""

from __future__ import annotations

from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from strop.model import fused_lora, fused_rows
from strop.model.cpu import elementwise as kernel
from strop.model.fused_rotary import with_fused_rotary


def fuse(model: nn.Module) -> int:
    """Have every usual norm, gated unit and rotation of ``model`` use a kernel where its input allows it; returns how
    many.

    Linear layers with adapters and embeddings with trained rows are given theirs too (see `fused_lora`, `fused_rows`),
    on any device, and are not counted. What it
    puts there are methods bound to their module, so that a copy of the model computes with its own weights.
    """
    count = 0
    for module in model.modules():
        if "forward" in module.__dict__:
            continue  # somebody's already, maybe ours
        if fused_lora.is_lora_linear(module):
            module.forward = MethodType(_adapted, module)
            continue
        if fused_rows.is_token_rows(module):
            module.forward = MethodType(_embedded, module)
            continue
        forward = _norm if _is_usual_norm(module) else _unit if _is_usual_unit(module) else None
        forward = forward or with_fused_rotary(type(module))
        if forward is not None:
            module.forward = MethodType(forward, module)
            count += 1
    return count


def _norm(self: nn.Module, x: Tensor) -> Tensor:
    """`x / rms(x) · w`, or `· (1 + w)` (Gemma)."""
    if not kernel.supported(x, self.weight):
        return type(self).forward(self, x)
    eps, offset = self.fused
    return kernel.rms_norm(x, self.weight + offset if offset else self.weight, eps)


def _unit(self: nn.Module, x: Tensor) -> Tensor:
    """`down(silu(gate(x)) · up(x))`."""
    if not kernel.supported(x, self.gate_proj.weight) or self.gate_proj.out_features % 16:
        return type(self).forward(self, x)
    gate, up = self.gate_proj(x), self.up_proj(x)
    product = kernel.silu_gate(gate, up)
    if getattr(self, "recomputed", False):  # with all of its block; then gate and up are not to be kept either
        return self.down_proj(product)
    with _made_again(product, lambda: kernel.silu_gate(gate.detach(), up.detach())):
        return self.down_proj(product)


def _adapted(self: nn.Module, x: Tensor, *args, **kwargs) -> Tensor:
    """`x Wᵀ + b + s (x Aᵀ) Bᵀ`, peft's layer."""
    given = None if args or kwargs else fused_lora.operands(self, x)
    return type(self).forward(self, x, *args, **kwargs) if given is None else fused_lora.lora_linear(x, given)


def _embedded(self: nn.Module, tokens: Tensor, *args, **kwargs) -> Tensor:
    """The rows of the tokens, some of them trained."""
    given = None if args or kwargs else fused_rows.embed(self, tokens)
    return type(self).forward(self, tokens, *args, **kwargs) if given is None else given


def _is_usual_norm(module: nn.Module) -> bool:
    weight, eps = getattr(module, "weight", None), getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or weight is None or weight.dim() != 1 or eps is None:
        return False
    for offset in (0.0, 1.0):
        if _same_norm(module, eps, offset):
            module.fused = (eps, offset)
            return True
    return False


@torch.no_grad()
def _same_norm(module: nn.Module, eps: float, offset: float) -> bool:
    x = _random(3, len(module.weight), like=module.weight)
    usual = F.rms_norm(x.float(), x.shape[-1:], module.weight.float() + offset, eps)
    return torch.allclose(module.forward(x).float(), usual, rtol=2e-2 if x.dtype != torch.float32 else 1e-4, atol=1e-5)


def _is_usual_unit(module: nn.Module) -> bool:
    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    linear = all(isinstance(part, nn.Module) and hasattr(part, "in_features") for part in parts)  # also with adapters
    activation = getattr(module, "act_fn", None)
    if not linear or activation is None or not parts[0].weight.is_floating_point():
        return False
    return _same_unit(module, activation)


def _made_again(product: Tensor, make) -> saved_tensors_hooks:
    """Inside, who saves ``product`` for the backward pass saves how it is made: a sixth of a Llama's activations."""
    place, count = product.data_ptr(), product.numel()  # its own while it lives, that is, inside
    return saved_tensors_hooks(
        lambda x: (make, x.shape) if x.data_ptr() == place and x.numel() == count else x,
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
