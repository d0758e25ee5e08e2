"""A linear layer with its adapter as one operation: `y = x Wᵀ + b + s (x Aᵀ) Bᵀ` with W and b frozen (Hu et al. 2021).

peft makes the adapter's product, its scaled copy and the sum, each as large as y, and the backward pass makes as many
again. Here the product is added to y where y lies, and backward likewise to the gradient of x; s multiplies what is r
wide. Nothing is kept for the backward pass but x, the weights and x Aᵀ.

Shapes: T tokens, I inputs, O outputs, r rank.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Operands(NamedTuple):
    """W ``[O,I]``, b ``[O]`` or None, A ``[r,I]``, B ``[O,r]`` and s."""

    weight: Tensor
    bias: Tensor | None
    a: Tensor
    b: Tensor
    scale: float


def usual(module: nn.Module) -> tuple[()] | None:
    """Whether this is peft's LoRA layer for linear layers, None if not; without importing peft (a second)."""
    layers = sys.modules.get("peft.tuners.lora")  # not there: nobody can have made one
    return () if layers is not None and type(module) is layers.Linear else None


def forward(self: nn.Module, x: Tensor, *args, **kwargs) -> Tensor:
    """peft's layer; by peft itself where `operands` has none."""
    given = None if args or kwargs else operands(self, x)
    return type(self).forward(self, x, *args, **kwargs) if given is None else lora_linear(x, given)


def operands(layer: nn.Module, x: Tensor) -> Operands | None:
    """What the operation takes of peft's ``layer`` as it is now; None where it would not compute what peft's does.

    That is: adapters off, merged, or not exactly one; a variant (DoRA) or an adapter with a bias; dropout; a base that
    is trained, quantised or no plain linear layer; formats that differ, or autocast. Hooks of the layer's parts
    (``lora_A`` …) are not called.
    """
    base, names = layer.base_layer, layer.active_adapters
    if layer.disable_adapters or layer.merged or len(names) != 1 or names[0] not in layer.lora_A:
        return None
    (name,) = names
    a, b, dropout = layer.lora_A[name], layer.lora_B[name], layer.lora_dropout[name]
    if name in layer.lora_variant or b.bias is not None or (dropout.training and getattr(dropout, "p", 0)):
        return None
    if type(base) is not nn.Linear or "forward" in vars(base) or any(p.requires_grad for p in base.parameters()):
        return None
    if {base.weight.dtype, a.weight.dtype, b.weight.dtype} != {x.dtype} or torch.is_autocast_enabled(x.device.type):
        return None
    return Operands(base.weight, base.bias, a.weight, b.weight, layer.scaling[name])


def lora_linear(x: Tensor, given: Operands) -> Tensor:
    """``x [...,I]`` -> ``[...,O]``; differentiable in x, A and B."""
    rows = x.reshape(-1, x.shape[-1])
    # A view made in here and not inside: a family may change its result in place, which autograd forbids on the latter.
    return _LoraLinear.apply(rows, *given).view(*x.shape[:-1], len(given.weight))


class _LoraLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, a, b, scale):
        y, h = F.linear(x, weight, bias), F.linear(x, a)  # [T,O], [T,r]
        y.addmm_(h, b.t(), alpha=scale)
        ctx.scale = scale
        ctx.save_for_backward(x, weight, a, b, h)  # x itself: who saves it otherwise knows it by its place in memory
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, weight, a, b, h = ctx.saved_tensors
        needs_x, needs_a, needs_b = (ctx.needs_input_grad[i] for i in (0, 3, 4))
        dx = da = db = None
        if needs_x or needs_a:
            dh = (dy @ b).mul_(ctx.scale)  # [T,r]
        if needs_x:
            dx = (dy @ weight).addmm_(dh, a)
        if needs_a:
            da = dh.t() @ x
        if needs_b:
            db = (dy.t() @ h).mul_(ctx.scale)
        return dx, None, None, da, db, None
