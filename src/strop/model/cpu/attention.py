"""Causal attention of flat rows by the compiled kernel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from strop.model.cpu.kernels import call, computable, named


def supported(q: Tensor, v: Tensor) -> bool:
    """Whether a kernel computes this: a format that there is one for, heads of a width in multiples of 16 up to 256."""
    width = q.shape[-1]
    return v.shape[-1] == width <= 256 and width % 16 == 0 and computable(q, v)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bounds: Sequence[tuple[int, int, int, int]],
    scale: float,
    window: int | None = None,
) -> Tensor:
    """``softmax(scale q kᵀ) v``: ``q [H,T,D]``, ``k``, ``v`` ``[K,U,D]`` -> ``[H,T,D]``; differentiable.

    ``bounds``: (first query, end of queries, first key, end of keys) of every sequence. Query ``i`` of ``n`` with ``m``
    keys sees those up to ``i + m - n``, and only the last ``window`` of these. Memory does not grow with the square of
    the length.
    """
    table = torch.tensor([(a, b - a, c, d - c) for a, b, c, d in bounds], dtype=torch.int32, device="cpu")
    return _Attention.apply(q, k, v, table, scale, window or 0)


def _strides(*tensors: Tensor) -> Tensor:
    return torch.tensor([stride for t in tensors for stride in t.stride()[:2]], dtype=torch.int64, device="cpu")


def _dense(x: Tensor) -> Tensor:
    """With contiguous heads whose rows begin at even numbers, as pairs of bfloat16 are read."""
    return x if x.stride(2) == 1 and x.stride(1) % 2 == 0 and x.stride(0) % 2 == 0 else x.contiguous()


def _by_token(like: Tensor) -> Tensor:
    """An empty ``[heads, tokens, width]`` that lies in memory as the model's projections do, token by token."""
    heads, tokens, width = like.shape
    return like.new_empty(tokens, heads, width).transpose(0, 1)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, segments, scale, window):
        q, k, v = _dense(q), _dense(k), _dense(v)
        heads, tokens, width = q.shape
        out = _by_token(q)
        lse = q.new_empty(heads, tokens, dtype=torch.float32)
        sizes = len(segments), heads, k.shape[0], width, tokens
        tensors = (q, k, v, out, lse, _strides(q, k, v, out), segments)
        call(named("strop_attention_forward", q), *tensors, *sizes, window, scale)
        ctx.save_for_backward(q, k, v, out, lse, segments)
        ctx.scale, ctx.window = scale, window
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        q, k, v, out, lse, segments = ctx.saved_tensors
        grad = _dense(grad)
        heads, tokens, width = q.shape
        kv_heads, keys, _ = k.shape
        dq, dk, dv = (_by_token(x) for x in (q, k, v))
        strides, grad_strides = _strides(q, k, v, out), _strides(dq, dk, dv, grad)
        tensors = (q, k, v, out, lse, grad, dq, dk, dv, strides, grad_strides, segments)
        sizes = len(segments), heads, kv_heads, width, tokens, keys
        call(named("strop_attention_backward", q), *tensors, *sizes, ctx.window, ctx.scale)
        return dq, dk, dv, None, None, None
