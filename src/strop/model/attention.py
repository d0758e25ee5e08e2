"""Causal attention over flat rows: several sequences in one row, no padding, none sees another.

The function registered here replaces a model's attention through transformers' attention registry, so the model's own
code stays as it is. Whoever calls the model passes one extra keyword, ``flat_layout``, which says how the row is made
up; a call without it is refused, as is every argument that would change the result and is not implemented here.

Shapes: T tokens in the row, N sequences, H query heads, K key/value heads, D width of queries and keys, E of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface

from strop.model.attention_backends import attend_segments
from strop.model.segments import PLAIN, AttentionOptions, Segments, stretches

NAME = "strop_flat"

# Keywords that families hand to every attention function and that change nothing in it.
_WITHOUT_EFFECT = frozenset(
    {"position_ids", "cache_position", "use_cache", "output_attentions", "output_hidden_states", "output_router_logits"}
)


class Layout(Protocol):
    """How the tokens of a flat row see each other; also the place where a key/value cache lives."""

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, options: AttentionOptions = PLAIN
    ) -> Tensor:
        """``q [H,T,D]``, ``k [K,T,D]``, ``v [K,T,E]`` -> ``[H,T,E]``, same dtype."""
        ...


@dataclass(frozen=True)
class FlatLayout:
    """N sequences one after another; each is causal within itself and sees all of those that it continues.

    ``seq_lens``: own lengths, ``sum(seq_lens) == T``. ``parent``: the sequence whose tokens each one continues, -1 for
    none, a parent before its children; empty where no sequence has one.
    """

    seq_lens: tuple[int, ...]
    parent: tuple[int, ...] = ()

    def __post_init__(self):
        if self.parent and (
            len(self.parent) != len(self.seq_lens) or any(not -1 <= p < i for i, p in enumerate(self.parent))
        ):
            raise ValueError(f"a parent comes before its children, and -1 is none: {self.parent}.")

    @cached_property
    def bounds(self) -> list[tuple[int, int]]:
        """(start, end) of every sequence's own tokens in the row."""
        return stretches(self.seq_lens)

    @cached_property
    def _seen(self) -> list[list[tuple[int, int]]]:
        """Stretches of the row that each sequence sees, its ancestors' first; neighbours are joined."""
        seen: list[list[tuple[int, int]]] = []
        for (a, b), p in zip(self.bounds, self.parent or (-1,) * len(self.seq_lens), strict=True):
            above = [] if p < 0 else seen[p]
            joins = bool(above) and above[-1][1] == a
            seen.append([*above[:-1], (above[-1][0], b)] if joins else [*above, (a, b)])
        return seen

    @cached_property
    def segments(self) -> Segments:
        return Segments(self.seq_lens, tuple(sum(b - a for a, b in seen) for seen in self._seen))

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, options: AttentionOptions = PLAIN
    ) -> Tensor:
        if any(p >= 0 for p in self.parent):
            seen = [stretch for row in self._seen for stretch in row]
            k, v = _Gather.apply(k, seen), _Gather.apply(v, seen)
        return attend_segments(q, k, v, self.segments, scale, options)


class _Gather(torch.autograd.Function):
    """``x [K,T,D]``, stretches of T that may overlap -> ``[K,U,D]``, one stretch after another.

    Beside ``index_select``: the gradients of what is shared are summed in float32, in a fixed order.
    """

    @staticmethod
    def forward(ctx, x: Tensor, stretches: list[tuple[int, int]]) -> Tensor:
        ctx.stretches, ctx.shape = stretches, x.shape
        return torch.cat([x[:, a:b] for a, b in stretches], dim=1)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.new_zeros(ctx.shape, dtype=torch.promote_types(grad.dtype, torch.float32))
        for (a, b), part in zip(ctx.stretches, grad.split([b - a for a, b in ctx.stretches], dim=1), strict=True):
            total[:, a:b] += part
        return total.to(grad.dtype), None


def flat_attention(
    module,
    query,
    key,
    value,
    attention_mask,
    scaling=None,
    dropout=0.0,
    flat_layout=None,
    sliding_window=None,
    softcap=None,
    s_aux=None,
    is_causal=None,
    **kwargs,
):
    """The registered attention function. ``query [1,H,T,D]``, ``key``/``value`` ``[1,K,T,*]`` -> ``[1,T,H,E]``, None.

    Raises ValueError on a missing layout and on every argument that is not known here.
    """
    if flat_layout is None:
        raise ValueError(
            "no `flat_layout` arrived at its attention: the model was not called through strop's Policy or Engine, or "
            "its family does not hand on keyword arguments."
        )
    if attention_mask is not None:
        raise ValueError("flat rows carry no attention mask; the model made one, so it cannot be packed.")
    if dropout:
        raise ValueError("attention dropout is not implemented; set `attention_dropout` to 0 in the model's config.")
    for name, argument in kwargs.items():
        if name not in _WITHOUT_EFFECT and argument is not None:
            raise ValueError(f"this model's attention uses `{name}`, which packed attention does not implement.")
    if is_causal is False or not getattr(module, "is_causal", True):
        raise ValueError("this model's attention is not causal.")
    q, k, v = query[0], key[0], value[0]
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    if not k.dtype == v.dtype == q.dtype:  # autocast leaves rotary outputs in float32
        q, k = q.to(v.dtype), k.to(v.dtype)
    out = flat_layout.attend(module.layer_idx, q, k, v, scale, AttentionOptions(sliding_window, softcap, s_aux))
    return out.transpose(0, 1).contiguous().unsqueeze(0), None  # families take views of it


AttentionInterface.register(NAME, flat_attention)
