"""The one place that chooses how attention over segments is computed.

Shapes: T queries and U keys in their rows, H query heads, K key/value heads, D width of queries and keys, E of values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature

import torch
from torch import Tensor

from strop.model import accelerate
from strop.model.attention_tiles import TiledAttention
from strop.model.segments import PLAIN, AttentionOptions, Segments


def attend_segments(
    q: Tensor, k: Tensor, v: Tensor, segments: Segments, scale: float, options: AttentionOptions = PLAIN
) -> Tensor:
    """``q [H,T,D]``, ``k [K,U,D]``, ``v [K,U,E]`` of one dtype -> ``[H,T,E]`` of the same; differentiable.

    Every backend gives the same numbers to rounding; the tiles work everywhere and with every option.
    """
    if _flash_can(q, v, options):
        return _flash(q, k, v, segments, scale, options)
    if (kernel := accelerate.attention(q, v, options)) is not None:
        return kernel(q, k, v, segments.bounds, scale, options.window)
    return TiledAttention.apply(q, k, v, options.sinks, segments.bounds, scale, options.window, options.softcap)


def _flash_can(q: Tensor, v: Tensor, options: AttentionOptions) -> bool:
    width = q.shape[-1]
    fits = q.device.type == "cuda" and q.dtype in (torch.bfloat16, torch.float16) and v.shape[-1] == width <= 256
    return fits and width % 8 == 0 and options.softmax_alone


def _flash(q: Tensor, k: Tensor, v: Tensor, segments: Segments, scale: float, options: AttentionOptions) -> Tensor:
    """FlashAttention-2 (Dao 2023) for segments; with fewer queries than keys it aligns them at the end, as we do."""
    from torch.nn.attention.varlen import varlen_attn

    left = -1 if options.window is None else options.window - 1  # its window counts the keys before a query's own
    q, k, v = (x.transpose(0, 1).contiguous() for x in (q, k, v))
    longest = max(segments.queries), max(segments.keys)
    how = {"scale": scale, "window_size": (left, 0), **_grouped(varlen_attn)}
    return varlen_attn(q, k, v, *segments.offsets(q.device), *longest, **how).transpose(0, 1)


@cache
def _grouped(attention: Callable[..., Tensor]) -> dict[str, bool]:
    """From torch 2.12 on it has to be told that query heads share key heads; before, it takes no such word."""
    return {"enable_gqa": True} if "enable_gqa" in signature(attention).parameters else {}
