"""Drawing the next token of every row, each with its own parameters and its own random numbers.

Shapes: B rows, V vocabulary, C candidates of a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from strop.model import accelerate
from strop.model.logits import LogitsTransform
from strop.rollout.engine import SamplingParams

_GREEDY = -1.0


@dataclass(frozen=True)
class Drawn:
    """Per row: the token, its log-probability in what it was drawn from and without filters, and the likeliest ones.

    Where a row's numbers are not finite, ``plain`` is NaN and the token is of no meaning.
    """

    tokens: list[int]
    logprobs: list[float]
    plain: list[float]
    top: list[tuple[tuple[int, float], ...]]


def draw(raw: Tensor, transform: LogitsTransform, params: Sequence[SamplingParams], numbers: Sequence[float]) -> Drawn:
    """The next tokens. ``raw [B,V]`` float32: what the head gives, before ``transform`` and temperature.
    ``numbers [B]``: uniform, in [0, 1).

    A draw is inverse transform sampling: one number against the cumulative sum, in the order of the ids, or of falling
    probability where there are filters. ``torch.multinomial`` draws V exponentials per row.
    """
    rows = [transform.at(p.temperature or 1.0) for p in params]
    numbers = [u if p.temperature else _GREEDY for p, u in zip(params, numbers, strict=True)]
    tokens, plain = _draw_plain(raw, rows, numbers)
    out = Drawn(tokens, list(plain), plain, [()] * len(params))
    for i, p in enumerate(params):
        if not (p.filters or p.logprobs) or math.isnan(plain[i]):
            continue
        z = rows[i](raw[i : i + 1])[0]
        lse = torch.logsumexp(z, -1)
        if p.filters:
            out.tokens[i], out.logprobs[i], out.plain[i] = _draw_filtered(z, lse, p, numbers[i])
        if p.logprobs:
            values, ids = (z - lse).topk(min(p.logprobs, len(z)))
            out.top[i] = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return out


def _draw_plain(raw: Tensor, rows: list[LogitsTransform], numbers: list[float]) -> tuple[list[int], list[float]]:
    if (kernel := accelerate.draw(raw)) is not None:
        scales, caps = (torch.tensor([getattr(t, name) for t in rows]) for name in ("scale", "cap"))
        drawn = kernel(raw, scales, caps, torch.tensor(numbers, dtype=torch.float64))
        return tuple(x.tolist() for x in drawn)
    z = rows[0](raw) if len(set(rows)) == 1 else torch.cat([t(raw[i : i + 1]) for i, t in enumerate(rows)])
    lse = torch.logsumexp(z, -1, keepdim=True)
    tokens = z.argmax(-1)
    if any(u != _GREEDY for u in numbers):
        cumulative = torch.exp(z - lse).cumsum(-1)
        u = torch.tensor(numbers, device=raw.device, dtype=cumulative.dtype)[:, None]
        place = torch.searchsorted(cumulative, (u * cumulative[:, -1:]).clamp_(min=0), right=True)
        tokens = torch.where(u[:, 0] < 0, tokens, place[:, 0].clamp_(max=z.shape[-1] - 1))
    plain = z.gather(-1, tokens[:, None])[:, 0] - lse[:, 0]
    # a row of -inf alone, or with +inf, has no probabilities either
    return tokens.tolist(), torch.where(lse[:, 0].isfinite(), plain, torch.nan).tolist()


def _draw_filtered(z: Tensor, lse: Tensor, params: SamplingParams, number: float) -> tuple[int, float, float]:
    """Token, log-probability among the kept ones and among all; ``z [V]`` float32 at temperature."""
    allowed = params.allowed_token_ids
    ids = None if allowed is None else torch.tensor(sorted(set(allowed)), device=z.device)
    left = z if ids is None else z[ids]
    values, order = left.sort(descending=True)  # [C]
    if params.top_k:
        values = values[: params.top_k]
    p = torch.softmax(values, -1)
    if params.top_p < 1:
        values = values[p.cumsum(-1) - p < params.top_p]  # the first always stays
        p = torch.softmax(values, -1)
    if params.min_p > 0:
        values = values[p >= params.min_p * p[0]]
        p = torch.softmax(values, -1)
    at = 0
    if number != _GREEDY:
        cumulative = p.cumsum(-1)
        at = min(int(torch.searchsorted(cumulative, number * cumulative[-1], right=True)), len(p) - 1)
    token = order[at] if ids is None else ids[order[at]]
    return int(token), float(values[at] - torch.logsumexp(values, -1)), float(values[at] - lse)
