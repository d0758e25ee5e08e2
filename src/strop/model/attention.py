"""Causal attention over flat rows: several sequences in one row, no padding, none sees another.

The function registered here replaces a model's attention through transformers' attention registry, so the model's own
code stays as it is. Whoever calls the model passes one extra keyword, ``flat_layout``, which says how the row is made
up; a call without it is refused, as is every argument that would change the result and is not implemented here.

Shapes: T tokens in the row, N sequences, H query heads, K key/value heads, G = H / K, D head width, B queries of one
tile, L keys that the tile sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

NAME = "strop_flat"

# Queries handled at once on a CPU. A tile of scores (9 heads x 256 x 512, float32) stays in the second-level cache,
# and tiles skip the keys that causality hides.
TILE = 256
_LATER = torch.ones(TILE, TILE, dtype=torch.bool).triu_(1)  # what a query of the same tile must not see


class Layout(Protocol):
    """How the tokens of a flat row see each other; also the place where a key/value cache lives."""

    longest: int

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """``q [H,T,D]``, ``k [K,T,D]``, ``v [K,T,D]`` -> ``[H,T,D]``, same dtype."""
        ...


@dataclass(frozen=True)
class FlatLayout:
    """N sequences one after another; each is causal within itself.

    ``seq_lens``: lengths, ``sum(seq_lens) == T``.
    """

    seq_lens: tuple[int, ...]

    @property
    def longest(self) -> int:
        return max(self.seq_lens)

    @cached_property
    def bounds(self) -> list[tuple[int, int]]:
        """(start, end) of every sequence in the row."""
        ends = torch.tensor(self.seq_lens).cumsum(0).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        if q.device.type == "cpu":
            return _TiledAttention.apply(q, k, v, self.bounds, scale)
        if q.device.type == "cuda" and q.dtype in (torch.bfloat16, torch.float16):
            return self._varlen(q, k, v, scale)
        return self._per_sequence(q, k, v, scale)

    def _varlen(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        from torch.nn.attention.varlen import varlen_attn

        ends = F.pad(torch.tensor(self.seq_lens, dtype=torch.int32).cumsum(0, dtype=torch.int32), (1, 0)).to(q.device)
        q, k, v = (x.transpose(0, 1).contiguous() for x in (q, k, v))  # [T,*,D]
        out = varlen_attn(
            q, k, v, ends, ends, self.longest, self.longest, scale=scale, window_size=(-1, 0), enable_gqa=True
        )
        return out.transpose(0, 1)

    def _per_sequence(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        parts = [
            F.scaled_dot_product_attention(
                q[None, :, a:b], k[None, :, a:b], v[None, :, a:b], is_causal=True, scale=scale, enable_gqa=True
            )[0]
            for a, b in self.bounds
        ]
        return torch.cat(parts, dim=1)


def _tile_probabilities(q: Tensor, k: Tensor, first: int, scale: float) -> Tensor:
    """Attention probabilities of one tile.

    ``q [K, G*B, D]`` (queries ``first … first+B`` of every head of a group), ``k [K, L, D]`` with ``L = first + B``.
    -> ``[K, G*B, L]`` in the dtype of ``q``.
    """
    groups, rows, _ = q.shape
    seen = k.shape[1]
    tile = seen - first
    scores = torch.bmm(q, k.transpose(1, 2)).view(groups, rows // tile, tile, seen)
    scores[..., first:].masked_fill_(_LATER[:tile, :tile], float("-inf"))
    return torch.softmax(scores.mul_(scale), dim=-1, dtype=torch.float32).to(q.dtype).view(groups, rows, seen)


class _TiledAttention(torch.autograd.Function):
    """Exact softmax attention by matrix products, tile by tile; the backward pass computes the probabilities again.

    torch's fused CPU kernel has a slow backward pass: with it a whole training step took 1.13 times as long
    (bench/train_speed.py, two Zen 4 cores).
    """

    @staticmethod
    def forward(ctx, q, k, v, bounds, scale):
        ctx.save_for_backward(q, k, v)
        ctx.bounds, ctx.scale = bounds, scale
        heads, _, width = q.shape
        groups = k.shape[0]
        out = torch.empty_like(q)
        for start, end in bounds:
            for a in range(start, end, TILE):
                b = min(a + TILE, end)
                p = _tile_probabilities(q[:, a:b].reshape(groups, -1, width), k[:, start:b], a - start, scale)
                out[:, a:b] = torch.bmm(p, v[:, start:b]).view(heads, b - a, width)
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v = ctx.saved_tensors
        scale = ctx.scale
        heads, _, width = q.shape
        groups = k.shape[0]
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for start, end in ctx.bounds:
            for a in range(start, end, TILE):
                b = min(a + TILE, end)
                q_tile = q[:, a:b].reshape(groups, -1, width)
                g_tile = grad[:, a:b].reshape(groups, -1, width)
                k_seen, v_seen = k[:, start:b], v[:, start:b]
                p = _tile_probabilities(q_tile, k_seen, a - start, scale)
                dp = torch.bmm(g_tile, v_seen.transpose(1, 2))
                dv[:, start:b] += torch.bmm(p.transpose(1, 2), g_tile)
                # d softmax: p * (dp - sum(p * dp)); the sum is taken in float32
                ds = torch._softmax_backward_data(dp.float(), p.float(), -1, torch.float32).mul_(scale).to(q.dtype)
                dq[:, a:b] = torch.bmm(ds, k_seen).view(heads, b - a, width)
                dk[:, start:b] += torch.bmm(ds.transpose(1, 2), q_tile)
        return dq, dk, dv, None, None


def flat_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, flat_layout=None, **kwargs):
    """The registered attention function. ``query [1,H,T,D]``, ``key``/``value`` ``[1,K,T,D]`` -> ``[1,T,H,D]``, None.

    Raises ValueError on a missing layout and on everything that would change the result and is not implemented.
    """
    if flat_layout is None:
        raise ValueError("this model was called without `flat_layout`; call it through strop's Policy or Engine.")
    if attention_mask is not None:
        raise ValueError("flat rows carry no attention mask; the model made one, so it cannot be packed.")
    if dropout:
        raise ValueError("attention dropout is not implemented; set `attention_dropout` to 0 in the model's config.")
    window = kwargs.pop("sliding_window", None)
    if window is not None and flat_layout.longest > window:
        raise ValueError(
            f"this model attends within a window of {window} tokens and a sequence has {flat_layout.longest}; "
            f"set max_length to {window} or less."
        )
    for name in ("softcap", "s_aux", "head_mask", "alibi"):
        if kwargs.get(name) is not None:
            raise ValueError(f"this model's attention uses `{name}`, which packed attention does not implement.")
    if not getattr(module, "is_causal", True):
        raise ValueError("this model's attention is not causal.")
    scale = module.head_dim**-0.5 if scaling is None else scaling
    q, k, v = query[0], key[0], value[0]
    if not k.dtype == v.dtype == q.dtype:  # autocast leaves rotary outputs in float32
        q, k = q.to(v.dtype), k.to(v.dtype)
    out = flat_layout.attend(module.layer_idx, q, k, v, scale)
    return out.transpose(0, 1).unsqueeze(0), None


AttentionInterface.register(NAME, flat_attention)
