"""Key/value cache for generation on flat rows, one slot per sequence.

Shapes: R slots, B active rows (the first B slots), K key/value heads, G query heads per key/value head, D head width,
C capacity in tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from strop.model.attention import FlatLayout
from strop.model.segments import PLAIN, AttentionOptions

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
        width = getattr(config, "qk_head_dim", None) or width  # latent attention (DeepSeek): two widths
        shape = (config.num_hidden_layers, slots * self.kv_heads, capacity)
        self.keys = torch.zeros(*shape, width, dtype=dtype, device=device)
        self.values = torch.zeros(*shape, getattr(config, "v_head_dim", None) or width, dtype=dtype, device=device)
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
    """A flat row of new prompts: attended like training rows, and written into the cache from slot ``first`` on.

    Prompts stand for themselves here (no parents): a slot holds all that its row will see.
    """

    cache: KVCache
    flat: FlatLayout
    first: int

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, options: AttentionOptions = PLAIN
    ) -> Tensor:
        for row, (a, b) in enumerate(self.flat.bounds, start=self.first):
            slot = self.cache.slot(row)
            self.cache.keys[layer, slot, : b - a] = k[:, a:b]
            self.cache.values[layer, slot, : b - a] = v[:, a:b]
        return self.flat.attend(layer, q, k, v, scale, options)


@dataclass(frozen=True)
class DecodeLayout:
    """One new token per active row: row ``b`` of the flat row belongs to slot ``b``.

    ``positions [B]`` int64: where each token goes.
    """

    cache: KVCache
    positions: Tensor
    _biases: dict[int | None, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, cache: KVCache) -> DecodeLayout:
        cache.reserve(max(cache.lengths) + 1)
        return cls(cache, torch.tensor(cache.lengths, device=cache.keys.device))

    def bias(self, window: int | None) -> Tensor:
        """``[B,1,C]``: 0 for the keys that a row's new token sees, -inf for the rest; made once per window."""
        if window not in self._biases:
            keys = self.cache.keys
            place = torch.arange(self.cache.capacity, device=keys.device)
            hidden = place > self.positions[:, None]
            if window is not None:
                hidden |= place <= self.positions[:, None] - window
            bias = torch.zeros(hidden.shape, device=keys.device, dtype=keys.dtype)
            self._biases[window] = bias.masked_fill_(hidden, float("-inf"))[:, None]
        return self._biases[window]

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, options: AttentionOptions = PLAIN
    ) -> Tensor:
        heads, rows, width = q.shape
        kv = self.cache.kv_heads
        slots = rows * kv
        keys, values = self.cache.keys[layer, :slots], self.cache.values[layer, :slots]
        where = self.positions.repeat_interleave(kv)
        index = torch.arange(slots, device=q.device)
        keys[index, where] = k.transpose(0, 1).reshape(slots, width)
        values[index, where] = v.transpose(0, 1).reshape(slots, -1)
        q = (q * scale).transpose(0, 1).reshape(slots, heads // kv, width)
        scores = torch.bmm(q, keys.transpose(1, 2)).view(rows, heads, -1)
        if options.softcap is not None:
            scores = torch.tanh(scores.float() / options.softcap) * options.softcap
        scores = scores + self.bias(options.window)
        p = torch.softmax(scores, dim=-1, dtype=torch.float32)
        if options.sinks is not None:
            lse = torch.logsumexp(scores.float(), dim=-1, keepdim=True)
            p = p * torch.sigmoid(lse - options.sinks.float()[:, None])
        return torch.bmm(p.to(q.dtype).view(slots, heads // kv, -1), values).view(rows, heads, -1).transpose(0, 1)
