"""Root-mean-square norms by the compiled kernel: one pass over memory each way.

As torch operations they are ten passes, and keep float32 copies for the backward pass.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from strop.model.cpu.kernels import call, computable, named
from strop.model.cpu.proof import random, same


def supported(*tensors: Tensor) -> bool:
    """Whether a kernel computes this: one format that there is one for, rows of a width that is a multiple of 16."""
    return all(x.shape[-1] % 16 == 0 for x in tensors) and computable(*tensors)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x [...,D]``, ``weight [D]`` -> ``x / sqrt(mean(x²) + eps) · weight`` (Zhang and Sennrich 2019)."""
    return _RmsNorm.apply(x, weight, eps)


@torch.no_grad()
def usual(module: nn.Module) -> tuple[float, float] | None:
    """``eps`` and what is added to the weight (1 in Gemma's families) of a usual norm; None for other modules."""
    weight, eps = getattr(module, "weight", None), getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or weight is None or weight.dim() != 1 or eps is None:
        return None
    x = random(3, len(weight), like=weight)
    own = module.forward(x)
    for offset in (0.0, 1.0):
        if same(own, F.rms_norm(x.float(), x.shape[-1:], weight.float() + offset, eps)):
            return eps, offset
    return None


def forward(self: nn.Module, x: Tensor) -> Tensor:
    """`x / rms(x) · w`, or `· (1 + w)`."""
    if not supported(x, self.weight):
        return type(self).forward(self, x)
    eps, offset = self.fused
    return rms_norm(x, self.weight + offset if offset else self.weight, eps)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, eps):
        x, scale = x.contiguous(), weight.float().contiguous()
        width = x.shape[-1]
        rows = x.numel() // width
        out, inverse = torch.empty_like(x), x.new_empty(rows, dtype=torch.float32)
        call(named("strop_rms_norm", x), x, scale, out, inverse, rows, width, eps)
        ctx.save_for_backward(x, weight, inverse)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, inverse = ctx.saved_tensors
        grad, scale = grad.contiguous(), weight.float().contiguous()
        width = x.shape[-1]
        dx, dw = torch.empty_like(x), x.new_empty(width, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        rows = x.numel() // width
        call(named("strop_rms_norm_backward", x), x, scale, inverse, grad, dx, dw, rows, width)
        return dx, None if dw is None else dw.to(weight.dtype), None
