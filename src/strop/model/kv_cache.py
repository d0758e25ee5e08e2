"""Key/value cache for generation on flat rows, one slot per sequence.

Shapes: R slots, B active rows (the first B slots), K key/value heads, G query heads per key/value head, D head width,
C capacity in tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from strop.model.attention import FlatLayout

# Tokens by which a full cache grows. Attention reads the whole capacity, because a batched product over part of it
# would copy that part first (2.3 ms a layer instead of 1.2 at 96 rows); so it follows the longest row closely.
GROWTH = 64


class KVCache:
    """Keys and values of up to ``slots`` sequences, per layer ``[R*K, C, D]``; C grows with the longest sequence.

    Active rows are kept in the first slots: ``drop`` moves the last active row into the hole, so a step never computes
    a finished row.
    """

    def __init__(self, config, slots: int, capacity: int, dtype: torch.dtype, device: torch.device):
        config = config.get_text_config()
        heads = config.num_attention_heads
        self.kv_heads = getattr(config, "num_key_value_heads", None) or heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        shape = (config.num_hidden_layers, slots * self.kv_heads, capacity, width)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.lengths: list[int] = []  # tokens in the cache, per active row

    @property
    def capacity(self) -> int:
        return self.keys.shape[2]

    def reserve(self, tokens: int) -> None:
        """Make room for sequences of ``tokens`` tokens, keeping what is there."""
        if tokens <= self.capacity:
            return
        used = self.active * self.kv_heads
        for name in ("keys", "values"):
            old = getattr(self, name)
            layers, slots, capacity, width = old.shape
            new = old.new_zeros(layers, slots, tokens + GROWTH, width)
            new[:, :used, :capacity] = old[:, :used]
            setattr(self, name, new)

    @property
    def active(self) -> int:
        return len(self.lengths)

    def slot(self, row: int) -> slice:
        return slice(row * self.kv_heads, (row + 1) * self.kv_heads)

    def drop(self, row: int) -> None:
        """Remove an active row; the last active row takes its slot."""
        last = self.active - 1
        if row != last:
            used = self.lengths[last]
            self.keys[:, self.slot(row), :used] = self.keys[:, self.slot(last), :used]
            self.values[:, self.slot(row), :used] = self.values[:, self.slot(last), :used]
            self.lengths[row] = used
        self.lengths.pop()


@dataclass(frozen=True)
class PrefillLayout:
    """A flat row of new prompts: attended like training rows, and written into the cache from slot ``first`` on."""

    cache: KVCache
    flat: FlatLayout
    first: int

    @property
    def longest(self) -> int:
        return self.flat.longest

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        for row, (a, b) in enumerate(self.flat.bounds, start=self.first):
            slot = self.cache.slot(row)
            self.cache.keys[layer, slot, : b - a] = k[:, a:b]
            self.cache.values[layer, slot, : b - a] = v[:, a:b]
        return self.flat.attend(layer, q, k, v, scale)


@dataclass(frozen=True)
class DecodeLayout:
    """One new token per active row: row ``b`` of the flat row belongs to slot ``b``.

    ``positions [B]`` int64: where each token goes. ``bias [B,1,C]``: 0 up to there, -inf after.
    """

    cache: KVCache
    positions: Tensor
    bias: Tensor

    @classmethod
    def of(cls, cache: KVCache) -> DecodeLayout:
        cache.reserve(max(cache.lengths) + 1)
        device, dtype = cache.keys.device, cache.keys.dtype
        positions = torch.tensor(cache.lengths, device=device)
        later = torch.arange(cache.capacity, device=device) > positions[:, None]
        bias = torch.zeros(later.shape, device=device, dtype=dtype).masked_fill_(later, float("-inf"))
        return cls(cache, positions, bias[:, None])

    @property
    def longest(self) -> int:
        return max(self.cache.lengths) + 1

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        heads, rows, width = q.shape
        kv = self.cache.kv_heads
        slots = rows * kv
        keys, values = self.cache.keys[layer, :slots], self.cache.values[layer, :slots]
        where = self.positions.repeat_interleave(kv)
        index = torch.arange(slots, device=q.device)
        keys[index, where] = k.transpose(0, 1).reshape(slots, width)
        values[index, where] = v.transpose(0, 1).reshape(slots, width)
        q = (q * scale).transpose(0, 1).reshape(slots, heads // kv, width)
        scores = torch.bmm(q, keys.transpose(1, 2)).view(rows, heads, -1) + self.bias
        p = torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype).view(slots, heads // kv, -1)
        return torch.bmm(p, values).view(rows, heads, width).transpose(0, 1)
