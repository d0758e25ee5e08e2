"""The head's statistics and gradients on one chunk of logits by the compiled kernels.

Shapes: s rows, V vocabulary; the four outputs are those of `strop.model.head.OUTPUTS`, in its order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from strop.model.cpu.kernels import kernels


def supported(logits: Tensor) -> bool:
    """Whether the kernels compute this: bfloat16 on a CPU, rows one after another."""
    return (
        logits.device.type == "cpu"
        and logits.dtype == torch.bfloat16
        and logits.is_contiguous()
        and (kernels() is not None)
    )


def statistics(logits: Tensor, labels: Tensor, scale: float, cap: float) -> Tensor:
    """``logits [s,V]`` bfloat16, ``labels [s]`` int64 -> float32 ``[4,s]``: logprobs, lse, mean logit, entropy."""
    rows, vocabulary = logits.shape
    out = torch.empty(4, rows)
    label, lse, mean, entropy = out
    labels = labels.contiguous()
    kernels().strop_head_statistics(
        *(logits.data_ptr(), rows, vocabulary, labels.data_ptr(), scale, cap),
        *(x.data_ptr() for x in (label, lse, mean, entropy)),
    )
    label.sub_(lse)
    return out


def gradient_(logits: Tensor, labels: Tensor, scale: float, cap: float, outputs: Tensor, d_outputs: Tensor) -> Tensor:
    """Overwrites ``logits [s,V]`` with their gradient, from that of the outputs, float32 ``[4,s]``."""
    rows, vocabulary = logits.shape
    labels = labels.contiguous()
    _, lse, _, entropy = (x.contiguous() for x in outputs)
    d_logprob, d_lse, d_mean, d_entropy = (x.contiguous() for x in d_outputs)
    kernels().strop_head_gradient(
        *(logits.data_ptr(), rows, vocabulary, labels.data_ptr(), scale, cap),
        *(x.data_ptr() for x in (lse, entropy, d_logprob, d_lse, d_mean, d_entropy)),
    )
    return logits
