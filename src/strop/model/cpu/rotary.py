"""Rotary position embedding by the compiled kernel: one pass over memory, where torch's operations are seven."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from strop.model.cpu.kernels import call, computable, named


def supported(like: Tensor, shape: tuple[int, ...], cos: Tensor, sin: Tensor) -> bool:
    """Whether the kernel computes this: an ``x`` of ``shape`` (1, H, T, D) where ``like`` is, ``cos`` and ``sin``
    ``[1,T,D]`` without gradients, all of one format, D a multiple of 32."""
    batch, _, tokens, width = shape
    fits = batch == 1 and width % 32 == 0 and cos.shape == sin.shape == (1, tokens, width)
    return fits and not (cos.requires_grad or sin.requires_grad) and computable(like, cos, sin)


def rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x cos + rotate(x) sin``, where ``rotate`` makes ``(-b, a)`` of a head's halves ``(a, b)`` (Su et al. 2021,
    RoFormer). The result lies in memory token by token, as the model's projections do."""
    return _Rotary.apply(x, cos, sin)


class _Rotary(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cos, sin):
        cos, sin = cos.contiguous(), sin.contiguous()
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin, back=False)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        cos, sin = ctx.saved_tensors
        return _turn(grad, cos, sin, back=True), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor, back: bool) -> Tensor:
    x = x if x.stride(3) == 1 else x.contiguous()
    _, heads, tokens, width = x.shape
    y = x.new_empty(tokens, heads, width)
    call(named("strop_rotary", x), x, cos, sin, y, tokens, heads, width, x.stride(2), x.stride(1), back)
    return y.transpose(0, 1).unsqueeze(0)
