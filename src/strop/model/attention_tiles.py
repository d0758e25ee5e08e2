"""Exact attention by matrix products, tile by tile: every option, every device, every number format.

torch's fused CPU kernel has a slow backward pass: with it a whole training step took 1.13 times as long
(two Zen 4 cores).

Shapes: H query heads, K key/value heads, G = H / K, D width of queries and keys, E of values, T queries, U keys,
B queries of one tile, L keys that one of them or more may see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Queries handled at once. On a CPU a tile of scores (9 heads x 256 x 512, float32) stays in the second-level cache; an
# accelerator wants fewer and larger products. Tiles skip the keys that causality or a window hides.
TILE = 256
ACCELERATOR_TILE = 1024


def _square(size: int, device: torch.device) -> Tensor:
    return torch.ones(size, size, dtype=torch.bool, device=device)


_LATER = _square(TILE, torch.device("cpu")).triu_(1)  # made once for the many short sequences of a row


@dataclass(frozen=True)
class _Tile:
    """Queries ``a … b`` of the row and keys ``c … d``: ``own`` of a query's key is ``c + first + (its place in tile)``.

    ``slack``: by how many keys the window of the first query reaches beyond the first key.
    """

    a: int
    b: int
    c: int
    d: int
    slack: int | None


def _tiles(bounds: list[tuple[int, int, int, int]], size: int, window: int | None) -> Iterator[_Tile]:
    for start, end, first, last in bounds:
        offset = (last - first) - (end - start)  # keys before the first query's own
        for a in range(start, end, size):
            b = min(a + size, end)
            own = offset + a - start  # place of query a's own key in the segment
            reach = 0 if window is None else max(0, own - window + 1)
            slack = None if window is None else max(0, window - 1 - own)
            yield _Tile(a, b, first + reach, first + own + b - a, slack)


def _mask(scores: Tensor, tile: _Tile) -> Tensor:
    """Hide from ``scores [..., B, L]``, in place, what comes after a query and what its window leaves out."""
    size, seen = scores.shape[-2:]
    device = scores.device
    later = _LATER[:size, :size] if device.type == "cpu" else _square(size, device).triu_(1)
    scores[..., seen - size :].masked_fill_(later, float("-inf"))
    if tile.slack is not None and tile.slack < size - 1:
        scores[..., :size].masked_fill_(_square(size, device).tril_(-1 - tile.slack), float("-inf"))
    return scores


def _probabilities(q: Tensor, k: Tensor, tile: _Tile, scale: float, softcap: float | None, sinks: Tensor | None):
    """Attention probabilities of one tile.

    ``q [K, G*B, D]``, ``k [K, L, D]`` -> ``p [K, G*B, L]`` in the dtype of ``q``, the derivative of the capped scores
    ``[K, G*B, L]`` (None without a cap) and the share of the sink ``[K, G*B, 1]`` (None without sinks).
    """
    groups, rows, _ = q.shape
    size = tile.b - tile.a
    exact = torch.promote_types(q.dtype, torch.float32)
    scores = torch.bmm(q, k.transpose(1, 2)).view(groups, rows // size, size, -1)
    slope = share = None
    if softcap is None:
        scores = scores.mul_(scale)
    else:
        capped = torch.tanh(scores.to(exact).mul_(scale / softcap))
        slope = (1 - capped.square()).view(groups, rows, -1)
        scores = capped.mul_(softcap)
    scores = _mask(scores, tile)
    p = torch.softmax(scores, dim=-1, dtype=exact)
    if sinks is not None:
        lse = torch.logsumexp(scores.to(exact), dim=-1, keepdim=True)
        share = torch.sigmoid(sinks.to(exact).view(groups, -1, 1, 1) - lse)
        p = p.mul_(1 - share)
        share = share.view(groups, rows, 1)
    return p.to(q.dtype).view(groups, rows, -1), slope, share


class TiledAttention(torch.autograd.Function):
    """``apply(q [H,T,D], k [K,U,D], v [K,U,E], sinks [H] | None, bounds, scale, window, softcap)`` -> ``[H,T,E]``.

    ``bounds`` as in ``Segments``. The backward pass computes the probabilities again, tile by tile.
    """

    @staticmethod
    def forward(ctx, q, k, v, sinks, bounds, scale, window, softcap):
        ctx.save_for_backward(q, k, v, sinks)
        ctx.settings = bounds, scale, window, softcap
        heads, _, width = q.shape
        groups = k.shape[0]
        out = q.new_empty(heads, q.shape[1], v.shape[2])
        for t in _tiles(bounds, TILE if q.device.type == "cpu" else ACCELERATOR_TILE, window):
            q_tile = q[:, t.a : t.b].reshape(groups, -1, width)
            p, _, _ = _probabilities(q_tile, k[:, t.c : t.d], t, scale, softcap, sinks)
            out[:, t.a : t.b] = torch.bmm(p, v[:, t.c : t.d]).view(heads, t.b - t.a, -1)
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, sinks = ctx.saved_tensors
        bounds, scale, window, softcap = ctx.settings
        heads, _, width = q.shape
        groups = k.shape[0]
        exact = torch.promote_types(q.dtype, torch.float32)
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k, dtype=exact), torch.zeros_like(v, dtype=exact)
        dsinks = None if sinks is None else torch.zeros(heads, dtype=exact, device=q.device)
        for t in _tiles(bounds, TILE if q.device.type == "cpu" else ACCELERATOR_TILE, window):
            q_tile = q[:, t.a : t.b].reshape(groups, -1, width)
            g_tile = grad[:, t.a : t.b].reshape(groups, -1, v.shape[2])
            k_seen, v_seen = k[:, t.c : t.d], v[:, t.c : t.d]
            p, slope, share = _probabilities(q_tile, k_seen, t, scale, softcap, sinks)
            dp = torch.bmm(g_tile, v_seen.transpose(1, 2))
            dv[:, t.c : t.d] += torch.bmm(p.transpose(1, 2), g_tile)
            # d softmax: p * (dp - sum(p * dp)); the sum is taken in float32. A sink takes its share of every p.
            p, dp = p.to(exact), dp.to(exact)
            if share is not None:
                dsinks -= (share * (p * dp).sum(-1, keepdim=True)).view(heads, -1).sum(-1)
            ds = torch._softmax_backward_data(dp, p, -1, exact).mul_(scale)
            if slope is not None:
                ds = ds.mul_(slope)
            ds = ds.to(q.dtype)
            dq[:, t.a : t.b] = torch.bmm(ds, k_seen).view(heads, t.b - t.a, width)
            dk[:, t.c : t.d] += torch.bmm(ds.transpose(1, 2), q_tile)
        dsinks = None if dsinks is None else dsinks.to(sinks.dtype)
        return dq, dk.to(k.dtype), dv.to(v.dtype), dsinks, None, None, None, None
