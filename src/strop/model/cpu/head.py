"""The head's statistics and gradients on one chunk of logits by the compiled kernels.

With ``z = cap · tanh(scale · x / cap)`` (``scale · x`` where ``cap`` is 0) of the logits ``x``, see `strop.model.head`.

Shapes: s rows, V vocabulary; the four outputs are those of `strop.model.head.OUTPUTS`, in its order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from strop.model.cpu.int8 import Int8Weights
from strop.model.cpu.kernels import call, computable, float32_kernels, named

MOST_FLOAT32 = 64
"""Rows in float32, of which torch multiplies more faster (MKL)."""


def supported(logits: Tensor) -> bool:
    """Whether the kernels compute this: a format that they are for, rows one after another."""
    return logits.is_contiguous() and computable(logits)


def statistics(logits: Tensor, labels: Tensor, scale: float, cap: float) -> Tensor:
    """``logits [s,V]``, ``labels [s]`` int64 -> float32 ``[4,s]``: logprobs, lse, mean logit, entropy."""
    out = logits.new_empty(4, len(logits), dtype=torch.float32)
    call(named("strop_head_statistics", logits), logits, *logits.shape, labels.contiguous(), scale, cap, *out)
    out[0].sub_(out[1])  # the kernel writes the label's logit first
    return out


def product(hidden: Tensor, weight: Tensor, bias: Tensor | None, int8: Int8Weights | None = None) -> Tensor | None:
    """``hidden [s,D] weightᵀ + bias`` -> ``[s,V]`` float32 by a kernel for few rows, each the same in every batch.

    ``int8``: has the weight in 8 bits. None where the kernel does not compute this: it takes V in multiples of 16 and D
    of 32.
    """
    parts = (hidden, weight) if bias is None else (hidden, weight, bias)
    if weight.shape[0] % 16 or weight.shape[1] % 32 or not weight.is_contiguous():
        return None
    few = len(hidden) <= MOST_FLOAT32 or weight.dtype != torch.float32 or int8 is not None
    if not few or not computable(*parts, asked=True):
        return None
    out = hidden.new_empty(len(hidden), weight.shape[0], dtype=torch.float32)
    eight = (None, None) if int8 is None else int8.of(weight)
    call(named("strop_linear", weight), hidden.contiguous(), weight, *eight, bias, out, *out.shape, weight.shape[1])
    return out


def drawable(logits: Tensor) -> bool:
    """Whether `draw` computes this: float32 on a CPU that has the kernels."""
    return logits.device.type == "cpu" and logits.dtype == torch.float32 and float32_kernels() is not None


def draw(logits: Tensor, scales: Tensor, caps: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens int64 ``[s]`` of ``logits [s,V]`` and their log-probabilities float32 ``[s]``.

    ``scales``, ``caps`` float32 ``[s]``: z of each row, its temperature in it. ``numbers`` float64 ``[s]``: in [0, 1),
    the place in the cumulative distribution that is drawn; negative for the largest logit.
    """
    tokens, logprobs = (logits.new_empty(len(logits), dtype=dtype) for dtype in (torch.int64, torch.float32))
    call("strop_draw_f32", logits.contiguous(), *logits.shape, scales, caps, numbers, tokens, logprobs)
    return tokens, logprobs


def gradient_(logits: Tensor, labels: Tensor, scale: float, cap: float, outputs: Tensor, d_outputs: Tensor) -> Tensor:
    """Overwrites ``logits [s,V]`` with their gradient, from that of the outputs, float32 ``[4,s]``."""
    _, lse, _, entropy = outputs.contiguous()
    given = logits, *logits.shape, labels.contiguous(), scale, cap, lse, entropy, *d_outputs.contiguous()
    call(named("strop_head_gradient", logits), *given)
    return logits
