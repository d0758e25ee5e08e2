"""Log-probabilities of several tokens at a position, for distillation: the teacher's likeliest, and the student's of
the same.

Shapes: S positions, s of them in a chunk, D width, V vocabulary, K tokens at each position.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from strop.model.head_weight import head_weight
from strop.model.logits import LogitsTransform

if TYPE_CHECKING:
    from strop.data.batch import Batch
    from strop.model.policy import Policy

_HELD = 32 << 20
"""Logits held at once, in float32 128 MB; never fewer than 256 rows of them."""


def choice_logprobs(
    hidden: Tensor, choices: Tensor, temperatures: Tensor, head: nn.Module, transform: LogitsTransform
) -> Tensor:
    """``hidden [S,D]``, ``choices [S,K]`` int64, ``temperatures [S]`` -> natural log-probabilities float32 ``[S,K]`` of
    these tokens among the whole vocabulary, where each position's logits are divided by its temperature.

    Differentiable in ``hidden`` and the head. Logits are made again in the backward pass, chunk by chunk, so memory
    does not depend on S x V.
    """
    weight, bias = head_weight(head), getattr(head, "bias", None)
    dtype = weight.dtype
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
    hidden, weight, bias = hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    found = [
        checkpoint(
            _of_chunk, hidden[a:b], weight, bias, choices[a:b], temperatures[a:b], transform, use_reentrant=False
        )
        for a, b in _chunks(len(choices), weight.shape[0])
    ]
    return torch.cat(found) if found else hidden.new_zeros(choices.shape, dtype=torch.float32) + 0 * hidden.sum()


def _of_chunk(hidden, weight, bias, choices, temperatures, transform: LogitsTransform) -> Tensor:
    logits = transform(F.linear(hidden, weight, bias)) / temperatures[:, None]
    return logits.gather(-1, choices) - torch.logsumexp(logits, -1, keepdim=True)


@torch.no_grad()
def top_logprobs(
    policy: Policy, batch: Batch, count: int, temperature: float = 1.0, vocabulary: int | None = None
) -> tuple[Tensor, Tensor]:
    """The ``count`` likeliest tokens at each trained position, the likeliest first: ids int64 ``[S,K]`` and natural
    log-probabilities float32 ``[S,K]``, on the host, of logits divided by ``temperature``.

    ``vocabulary``: the distribution is that over the ids below it; the rest are rows of a matrix that is larger than
    its tokenizer. No dropout.
    """
    training = policy.training
    policy.eval()
    hidden = policy(batch.to(policy.compute.device), ("hidden",))["hidden"]
    transform, ids, values = policy.transform.at(temperature), [], []
    for a, b in _chunks(len(hidden), policy.vocabulary):
        logits = transform(policy.raw_logits(hidden[a:b]))[:, :vocabulary]
        top = logits.topk(min(count, logits.shape[1]), -1)
        ids.append(top.indices.cpu())
        values.append((top.values - torch.logsumexp(logits, -1, keepdim=True)).cpu())
    policy.train(training)
    if not ids:
        width = min(count, vocabulary or policy.vocabulary)
        return torch.empty(0, width, dtype=torch.long), torch.empty(0, width)
    return torch.cat(ids), torch.cat(values)


def _chunks(count: int, vocabulary: int) -> Iterator[tuple[int, int]]:
    rows = max(256, _HELD // vocabulary)
    return ((a, min(count, a + rows)) for a in range(0, count, rows))
