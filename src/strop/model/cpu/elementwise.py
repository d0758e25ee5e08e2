"""Root-mean-square norm and gated linear unit by the compiled kernels: one pass over memory each way.

As torch operations they are ten passes and six, and keep float32 copies for the backward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from strop.model.cpu.kernels import kernels


def supported(*tensors: Tensor) -> bool:
    """Whether the kernels compute this: bfloat16 on a CPU, rows of a width that is a multiple of 16."""
    return all(x.device.type == "cpu" and x.dtype == torch.bfloat16 and x.shape[-1] % 16 == 0 for x in tensors) and (
        kernels() is not None
    )


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x [...,D]`` bfloat16, ``weight [D]`` -> ``x / sqrt(mean(x²) + eps) · weight`` (Zhang and Sennrich 2019)."""
    return _RmsNorm.apply(x, weight, eps)


def silu_gate(gate: Tensor, up: Tensor) -> Tensor:
    """``silu(gate) · up`` of two bfloat16 tensors of one shape (SwiGLU, Shazeer 2020)."""
    return _SiluGate.apply(gate, up)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, eps):
        x, scale = x.contiguous(), weight.float().contiguous()
        width = x.shape[-1]
        rows = x.numel() // width
        out, inverse = torch.empty_like(x), torch.empty(rows)
        pointers = [t.data_ptr() for t in (x, scale, out, inverse)]
        kernels().strop_rms_norm(*pointers, rows, width, eps)
        ctx.save_for_backward(x, weight, inverse)
        return out

    @staticmethod
    def backward(ctx, grad):
        x, weight, inverse = ctx.saved_tensors
        grad, scale = grad.contiguous(), weight.float().contiguous()
        width = x.shape[-1]
        dx, dw = torch.empty_like(x), torch.empty(width) if ctx.needs_input_grad[1] else None
        pointers = [None if t is None else t.data_ptr() for t in (x, scale, inverse, grad, dx, dw)]
        kernels().strop_rms_norm_backward(*pointers, x.numel() // width, width, torch.get_num_threads())
        return dx, None if dw is None else dw.to(weight.dtype), None


class _SiluGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate, up):
        gate, up = gate.contiguous(), up.contiguous()
        out = torch.empty_like(gate)
        kernels().strop_silu_gate(gate.data_ptr(), up.data_ptr(), out.data_ptr(), gate.numel())
        ctx.save_for_backward(gate, up)
        return out

    @staticmethod
    def backward(ctx, grad):
        gate, up = ctx.saved_tensors
        grad = grad.contiguous()
        d_gate, d_up = torch.empty_like(gate), torch.empty_like(up)
        pointers = [t.data_ptr() for t in (gate, up, grad, d_gate, d_up)]
        kernels().strop_silu_gate_backward(*pointers, gate.numel())
        return d_gate, d_up
