"""The head's statistics and gradients on one chunk of logits by the compiled kernels.

With ``z = cap · tanh(scale · x / cap)`` (``scale · x`` where ``cap`` is 0) of the logits ``x``, see `strop.model.head`.

Shapes: s rows, V vocabulary; the four outputs are those of `strop.model.head.OUTPUTS`, in its order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from strop.model.cpu.kernels import call, computable


def supported(logits: Tensor) -> bool:
    """Whether the kernels compute this: bfloat16 on a CPU, rows one after another."""
    return logits.is_contiguous() and computable(logits)


def statistics(logits: Tensor, labels: Tensor, scale: float, cap: float) -> Tensor:
    """``logits [s,V]`` bfloat16, ``labels [s]`` int64 -> float32 ``[4,s]``: logprobs, lse, mean logit, entropy."""
    out = torch.empty(4, len(logits))
    call("strop_head_statistics", logits, *logits.shape, labels.contiguous(), scale, cap, *out)
    out[0].sub_(out[1])  # the kernel writes the label's logit first
    return out


def gradient_(logits: Tensor, labels: Tensor, scale: float, cap: float, outputs: Tensor, d_outputs: Tensor) -> Tensor:
    """Overwrites ``logits [s,V]`` with their gradient, from that of the outputs, float32 ``[4,s]``."""
    _, lse, _, entropy = outputs.contiguous()
    given = logits, *logits.shape, labels.contiguous(), scale, cap, lse, entropy, *d_outputs.contiguous()
    call("strop_head_gradient", *given)
    return logits
