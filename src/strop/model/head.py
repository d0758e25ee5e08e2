"""Log-probabilities from hidden states without ever holding the logits of all positions.

Shapes: S positions, s of them in a chunk, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from strop.model import accelerate
from strop.model.head_weight import head_weight, trained_rows
from strop.model.logits import LogitsTransform

OUTPUTS = ("logprobs", "lse", "mean_logits", "entropy")
"""What can be asked for, and in which order the functions below return it."""

CHUNK_ELEMENTS = 64 << 20
"""Logits held at once (128 MB in bfloat16), but never fewer than CHUNK_ROWS rows of them."""
CHUNK_ROWS = 512
"""The gradient of the head is summed over chunks, V x D float32 numbers each time: with fewer rows that would cost more
than the chunk's products."""


def head_statistics(
    hidden: Tensor,
    labels: Tensor,
    head: nn.Module,
    transform: LogitsTransform,
    want: Iterable[str],
    gradient: Tensor | None = None,
) -> dict[str, Tensor]:
    """``hidden [S,D]``, ``labels [S]`` int64 -> what is wanted of ``OUTPUTS``, each float32 ``[S]``.

    With ``z = transform(head(hidden))``: ``lse = log sum_v exp(z_v)``, ``logprobs = z_label - lse``,
    ``mean_logits = sum_v z_v / V``, ``entropy = lse - sum_v exp(z_v - lse) z_v``, all in nats and float32. A position
    with a logit that is NaN or +inf, or with none above -inf, has log-probability and ``lse`` NaN.

    Differentiable in ``hidden`` and the head's weight and bias, or in the rows of it that alone are trained; memory
    does not depend on S x V. ``gradient [S]`` float32: the gradient that ``logprobs`` will get, where the caller knows
    it (a loss that is linear in them). Then the logits are made once, and their gradient at once; otherwise the
    backward pass makes them again, chunk by chunk, and so it does when another gradient comes than was announced.
    """
    want, rows = tuple(want), trained_rows(head)
    with torch.set_grad_enabled(torch.is_grad_enabled() and rows is None):  # their gradient needs no whole matrix
        weight, bias = head_weight(head), getattr(head, "bias", None)
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight, bias = (None if x is None else x.to(dtype) for x in (hidden, weight, bias))
    if hidden.dtype != weight.dtype:
        hidden = hidden.to(weight.dtype)
    ids, values = rows or (None, None)
    outputs = _HeadStatistics.apply(hidden, weight, bias, labels, transform, want, gradient, ids, values)
    return {name: value for name, value in zip(OUTPUTS, outputs, strict=True) if name in want}


def head_logits(hidden: Tensor, head: nn.Module, transform: LogitsTransform) -> Tensor:
    """``hidden [R,D]`` -> float32 logits ``[R,V]``; for few rows, such as those of a decoding step."""
    return transform(head(hidden.to(head.weight.dtype)))


def raw_logits(hidden: Tensor, head: nn.Module, int8: accelerate.Int8Weights | None = None) -> Tensor:
    """``hidden [R,D]`` -> what the head gives, float32 ``[R,V]``, without gradients.

    A kernel does not round its sums: in bfloat16 the steps between logits of 16 to 32 are 0.125, so that the likeliest
    tokens are often even.

    ``int8``: the weight in 8 bits, where the processor's kernel computes the product.
    """
    weight, bias = head_weight(head), getattr(head, "bias", None)
    hidden = hidden.to(weight.dtype)
    made = accelerate.head_product(hidden, weight, bias, int8)
    return F.linear(hidden, weight, bias).float() if made is None else made


def logprobs_of(raw: Tensor, rows: Tensor, labels: Tensor, transform: LogitsTransform) -> tuple[Tensor, Tensor]:
    """Log-probabilities float32 ``[L]`` of tokens ``labels [L]`` in rows ``rows [L]`` of ``raw [R,V]`` (`raw_logits`),
    and whether each is the likeliest of its row, bool ``[L]``; NaN in rows that are not finite."""
    largest = raw.max(-1).values[rows] == raw[rows, labels]
    if (kernel := accelerate.draw(raw)) is not None:
        scale, cap = (torch.full((len(raw),), x) for x in (transform.scale, transform.cap))
        likeliest, logprob = kernel(raw, scale, cap, torch.full((len(raw),), -1.0, dtype=torch.float64))
        lse = transform(raw.gather(1, likeliest[:, None]))[:, 0] - logprob
    else:
        lse = torch.logsumexp(transform(raw), -1)
    lse = lse + (lse - lse)  # NaN where it is infinite
    return transform(raw[rows, labels][:, None])[:, 0] - lse[rows], largest


def linear_scores(hidden: Tensor, head: nn.Module) -> Tensor:
    """``hidden [R,D]``, a linear layer D -> 1 -> float32 ``[R]``, summed in float32 whatever the formats are."""
    with torch.autocast(hidden.device.type, enabled=False):
        bias = None if head.bias is None else head.bias.float()
        return F.linear(hidden.float(), head_weight(head).float(), bias)[:, 0]


@dataclass
class _Sums:
    """Gradients summed over chunks: of the weight ``[V,D]`` and the bias ``[V]``, those that are needed.

    ``ids [R]``: of the weight, these rows alone, ``[R,D]``.
    """

    ids: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None

    def add(self, d_logits: Tensor, hidden: Tensor, weight: bool, bias: bool, last: bool) -> None:
        """``last``: no chunk follows; a single chunk's sum is kept as its product made it, others are in float32."""
        if self.ids is not None:
            product = d_logits[:, self.ids].t().float() @ hidden.float()
            self.weight = product if self.weight is None else self.weight.add_(product)
        elif weight:
            product = d_logits.t() @ hidden
            if self.weight is not None:
                self.weight.add_(product)
            else:
                self.weight = product if last else product.float()
        if bias:
            total = d_logits.sum(0, dtype=torch.float32)
            self.bias = total if self.bias is None else self.bias.add_(total)


class _HeadStatistics(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, labels, transform, want, gradient, ids, values):
        ctx.set_materialize_grads(False)  # so that it is known, without a look at numbers, what the loss is made of
        count = len(labels)
        outputs = hidden.new_zeros(len(OUTPUTS), count, dtype=torch.float32)
        ctx.ids = ids if ctx.needs_input_grad[8] else None
        known = gradient is not None and any((*ctx.needs_input_grad[:3], ctx.needs_input_grad[8]))
        d_hidden, sums = (torch.empty_like(hidden) if known else None), _Sums(ctx.ids)
        for a, b in _chunks(count, weight.shape[0]):
            logits = F.linear(hidden[a:b], weight, bias)
            outputs[:, a:b] = _statistics(logits, labels[a:b], transform, want)
            if d_hidden is not None:
                d_outputs = outputs.new_zeros(len(OUTPUTS), b - a)
                d_outputs[0] = gradient[a:b]
                d_logits = _gradient_(logits, labels[a:b], transform, outputs[:, a:b], d_outputs, (OUTPUTS[0],))
                _backward(ctx, d_logits, hidden[a:b], weight, d_hidden[a:b], sums, b == count)
        ctx.transform = transform
        ctx.known = known
        saved = (d_hidden, sums.weight, sums.bias, gradient) if known else (None, None, None, None)
        ctx.save_for_backward(hidden, weight, bias, labels, outputs, *saved)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *arrived):
        hidden, weight, bias, labels, outputs, d_hidden, d_weight, d_bias, gradient = ctx.saved_tensors
        used = tuple(name for name, d in zip(OUTPUTS, arrived, strict=True) if d is not None)
        if ctx.known and used == OUTPUTS[:1]:
            # What was announced, times one number for all (as a loss scale would)?
            factor = _factor(arrived[0], gradient)
            if factor is not None:
                if factor != 1:
                    d_hidden, d_weight, d_bias = (
                        None if d is None else d * factor for d in (d_hidden, d_weight, d_bias)
                    )
                return _gradients(ctx, _cast(d_hidden, hidden), _cast(d_weight, weight), _cast(d_bias, bias))
        d_outputs = torch.stack([torch.zeros_like(outputs[0]) if d is None else d for d in arrived])
        d_hidden, sums = torch.empty_like(hidden), _Sums(ctx.ids)
        for a, b in _chunks(len(labels), weight.shape[0]):
            logits = F.linear(hidden[a:b], weight, bias)
            d_logits = _gradient_(logits, labels[a:b], ctx.transform, outputs[:, a:b], d_outputs[:, a:b], used)
            _backward(ctx, d_logits, hidden[a:b], weight, d_hidden[a:b], sums, b == len(labels))
        return _gradients(ctx, d_hidden, _cast(sums.weight, weight), _cast(sums.bias, bias))


def _gradients(ctx, hidden: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor | None, ...]:
    """In the order of `forward`'s arguments; what was summed for the weight is that of its trained rows, if any."""
    whole, rows = (weight, None) if ctx.ids is None else (None, weight)
    return hidden, whole, bias, None, None, None, None, None, rows


def _chunks(count: int, vocabulary: int) -> Iterable[tuple[int, int]]:
    rows = max(CHUNK_ROWS, CHUNK_ELEMENTS // vocabulary)
    pieces = -(-count // rows)
    edges = [count * i // pieces for i in range(pieces + 1)] if pieces else [0]  # all chunks about as long
    return list(pairwise(edges))


def _backward(ctx, d_logits, hidden, weight, d_hidden, sums: _Sums, last: bool) -> None:
    needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
    if needs_hidden:
        torch.mm(d_logits, weight, out=d_hidden)
    sums.add(d_logits, hidden, needs_weight, needs_bias, last)


def _factor(arrived: Tensor, announced: Tensor) -> float | None:
    """The number by which ``arrived`` is ``announced``, to rounding; None where there is no such number."""
    if not len(announced):
        return 1.0
    largest = announced.abs().argmax()
    known, came = announced.take(largest), arrived.take(largest)
    factor = came / known
    factor = torch.where((factor - 1).abs() < 1e-5, 1.0, factor)
    expected = announced * factor
    same = ((arrived - expected).abs() <= 1e-6 * came.abs() + 1e-5 * expected.abs()).all()
    known, factor, same = torch.stack([known, factor, same.to(factor.dtype)]).tolist()  # a device is waited for once
    # Where it is no number all is computed again, so that the gradient is none either and the step is skipped.
    return factor if known and isfinite(factor) and same else None


def _cast(gradient: Tensor | None, like: Tensor | None) -> Tensor | None:
    return None if gradient is None or like is None else gradient.to(like.dtype)


def _statistics(logits: Tensor, labels: Tensor, transform: LogitsTransform, want: tuple[str, ...]) -> Tensor:
    """``logits [s,V]`` -> float32 ``[len(OUTPUTS), s]``; of what is not wanted, only ``lse`` is surely there."""
    if (kernel := accelerate.head(logits)) is not None:
        return kernel.statistics(logits, labels, transform.scale, transform.cap)
    z = transform(logits)
    lse = torch.logsumexp(z, dim=-1)
    lse = lse + (lse - lse)  # NaN where it is infinite, as log_softmax has it
    out = lse.new_zeros(len(OUTPUTS), len(labels))
    out[0] = z.gather(-1, labels[:, None])[:, 0] - lse
    out[1] = lse
    if "mean_logits" in want:
        out[2] = z.mean(-1)
    if "entropy" in want:
        out[3] = lse - (torch.exp(z - lse[:, None]) * z).sum(-1)
    return out


def _gradient_(
    logits: Tensor,
    labels: Tensor,
    transform: LogitsTransform,
    outputs: Tensor,
    d_outputs: Tensor,
    used: tuple[str, ...],
) -> Tensor:
    """The gradient with respect to ``logits [s,V]``, in their dtype; they may be overwritten. ``used``: which of
    ``OUTPUTS`` have a gradient; the others' is 0.

    With p = exp(z - lse) and H the entropy:
    ``dz_v = d_logprob 1[v = label] + p_v (d_lse - d_logprob - d_H (z_v - lse + H)) + d_mean / V``.
    """
    if (kernel := accelerate.head(logits)) is not None:
        return kernel.gradient_(logits, labels, transform.scale, transform.cap, outputs, d_outputs)
    _, lse, _, entropy = (x[:, None] for x in outputs)
    d_logprob, d_lse, d_mean, d_entropy = (x[:, None] for x in d_outputs)
    z = transform(logits)
    p = torch.exp(z - lse)
    share = d_lse - d_logprob
    if "entropy" in used:
        share = share - d_entropy * (z - lse + entropy)
    dz = p.mul_(share)
    if "mean_logits" in used:
        dz.add_(d_mean / z.shape[-1])
    dz.scatter_add_(-1, labels[:, None], d_logprob)
    return transform.slope_(dz, z).to(logits.dtype)
