"""Log-probabilities from hidden states without ever holding the logits of all positions.

Shapes: S positions, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Logits held at once (64 Mi numbers: 256 MB in float32); the backward pass computes each chunk again.
CHUNK_ELEMENTS = 64 << 20

Transform = Callable[[Tensor], Tensor]


def candidate_transforms(config) -> dict[str, Transform]:
    """What model families do to logits after the head, by the config values that they read.

    The same name means different things in different families (``logits_scaling`` divides in Granite and multiplies
    elsewhere), so nothing is assumed here: ``Policy`` takes the candidate that reproduces the model's own logits.
    """
    found: dict[str, Transform] = {"identity": lambda x: x}
    config = config.get_text_config()
    for name in ("logit_scale", "logits_scaling", "output_multiplier"):
        if value := getattr(config, name, None):
            found[f"{name} ×"] = lambda x, s=value: x * s
            found[f"{name} ÷"] = lambda x, s=value: x / s
    for name in ("final_logit_softcapping", "softcap"):
        if value := getattr(config, name, None):
            found[f"{name} tanh"] = lambda x, c=value: torch.tanh(x / c) * c
    return found


def _statistics(hidden: Tensor, labels: Tensor, head: Callable, transform: Transform, want: tuple[str, ...]):
    logits = transform(head(hidden)).float()  # [s,V]
    lse = torch.logsumexp(logits, dim=-1)
    out = {"logprobs": logits.gather(-1, labels[:, None])[:, 0] - lse, "lse": lse}
    if "entropy" in want:
        out["entropy"] = lse - (torch.softmax(logits, dim=-1) * logits).sum(-1)
    return tuple(out[name] for name in want)


def head_statistics(
    hidden: Tensor, labels: Tensor, head: Callable, transform: Transform, want: Iterable[str], vocabulary: int
) -> dict[str, Tensor]:
    """``hidden [S,D]``, ``labels [S]`` int64 -> what is wanted of ``logprobs``, ``entropy``, ``lse``: float32 ``[S]``.

    Chunked over S; differentiable in ``hidden`` and the head's weights.
    """
    want = tuple(want)
    step = max(1, CHUNK_ELEMENTS // vocabulary)
    single = len(labels) <= step
    parts = []
    for a in range(0, len(labels), step):
        arguments = (hidden[a : a + step], labels[a : a + step], head, transform, want)
        if torch.is_grad_enabled() and not single:
            parts.append(checkpoint(_statistics, *arguments, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(_statistics(*arguments))
    if not parts:  # no trained position: zeros that still hang on the graph
        return {name: hidden.sum(-1).float() for name in want}
    return {name: torch.cat(columns) for name, columns in zip(want, zip(*parts, strict=True), strict=True)}
