"""Gated units by the compiled kernel: one pass over memory each way where torch's operations are six, and less kept."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks

from strop.model.cpu.kernels import call, computable, named
from strop.model.cpu.proof import random, same


def silu_gate(gate: Tensor, up: Tensor) -> Tensor:
    """``silu(gate) · up`` of two tensors of one shape and format (SwiGLU, Shazeer 2020); a multiple of 16 numbers."""
    return _SiluGate.apply(gate, up)


@torch.no_grad()
def usual(module: nn.Module) -> tuple[()] | None:
    """Whether ``module`` is `down(silu(gate(x)) · up(x))` with linear layers, which may have adapters; None if not."""
    parts: list[Any] = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    linear = all(isinstance(part, nn.Module) and hasattr(part, "in_features") for part in parts)
    activation = getattr(module, "act_fn", None)
    if not linear or activation is None or not parts[0].weight.is_floating_point():
        return None
    gate, up, down = parts
    x = random(3, gate.in_features, like=gate.weight)
    if not torch.equal(activation(x), F.silu(x)):
        return None
    return () if same(module.forward(x), down(F.silu(gate(x)) * up(x))) else None


def forward(self: nn.Module, x: Tensor) -> Tensor:
    """`down(silu(gate(x)) · up(x))`."""
    wide = self.gate_proj.out_features
    if x.shape[-1] % 16 or wide % 16 or not computable(x, self.gate_proj.weight):
        return type(self).forward(self, x)
    gate, up = self.gate_proj(x), self.up_proj(x)
    product = silu_gate(gate, up)
    if getattr(self, "recomputed", False):  # with all of its block; then gate and up are not to be kept either
        return self.down_proj(product)
    with made_again(product, lambda: silu_gate(gate.detach(), up.detach())):
        return self.down_proj(product)


def made_again(product: Tensor, make) -> saved_tensors_hooks:
    """Inside, who saves ``product`` for the backward pass saves how it is made: a sixth of a Llama's activations."""
    place, count = product.data_ptr(), product.numel()  # its own while it lives, that is, inside
    return saved_tensors_hooks(
        lambda x: (make, x.shape) if x.data_ptr() == place and x.numel() == count else x,
        lambda saved: saved if isinstance(saved, Tensor) else saved[0]().view(saved[1]),
    )


class _SiluGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate, up):
        gate, up = gate.contiguous(), up.contiguous()
        out = torch.empty_like(gate)
        call(named("strop_silu_gate", gate), gate, up, out, gate.numel())
        ctx.save_for_backward(gate, up)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        gate, up = ctx.saved_tensors
        d_gate, d_up = torch.empty_like(gate), torch.empty_like(up)
        call(named("strop_silu_gate_backward", gate), gate, up, grad.contiguous(), d_gate, d_up, gate.numel())
        return d_gate, d_up
