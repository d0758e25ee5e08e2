"""Key/value cache for generation on flat rows, one slot per sequence.

Shapes: R slots, B active rows (the first B slots), K key/value heads, G query heads per key/value head, D head width,
C capacity in tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from strop.common.errors import InputError
from strop.model.attention import FlatLayout, Layout
from strop.model.probe import Observed
from strop.model.segments import PLAIN, AttentionOptions

if TYPE_CHECKING:
    from strop.model.policy import Policy

# Tokens by which a full cache grows. Attention reads the whole capacity, because a batched product over part of it
# would copy that part first (2.3 ms a layer instead of 1.2 at 96 rows); so it follows the longest row closely.
GROWTH = 64


Shapes = tuple[tuple[int, int, int], ...]  # per layer: key/value heads, width of keys, width of values


@dataclass(frozen=True)
class CachedRow:
    """A flat row that `Policy.forward` takes in place of a batch; ``layout`` says what its tokens see, and keeps them.

    ``tokens [T]``, ``positions [T]``, ``trained_index [S]`` (the positions that are asked for), all int64.
    """

    tokens: Tensor
    positions: Tensor
    trained_index: Tensor
    layout: Layout


@torch.no_grad()
def cache_shapes(policy: Policy) -> tuple[Shapes, torch.dtype]:
    """What every layer puts into a cache and in which format, seen on one token: configs name it in many ways.

    Raises InputError for a model whose layers are numbered alike.
    """
    token = torch.zeros(1, dtype=torch.int64, device=policy.compute.device)
    layout = Observed(FlatLayout((1,)))
    policy(CachedRow(token, token, token, layout), ("hidden",))
    calls = sorted(layout.calls, key=lambda call: call.layer)
    for layer, call in enumerate(calls):
        if call.layer != layer:
            raise InputError(
                f"this model runs its layer {call.layer} twice per token, so it cannot generate with a cache."
            )
    return tuple((call.heads, call.keys, call.values) for call in calls), calls[0].dtype


def bytes_per_token(shapes: Shapes, dtype: torch.dtype) -> int:
    """Memory of one token of one sequence."""
    return sum(heads * (keys + values) for heads, keys, values in shapes) * dtype.itemsize


class KVCache:
    """Keys and values of up to ``slots`` sequences, per layer ``[R*K, C, D]``; C grows with the longest sequence.

    Active rows are kept in the first slots: ``drop`` moves the last active row into the hole, so a step never computes
    a finished row.
    """

    def __init__(self, shapes: Shapes, slots: int, capacity: int, dtype: torch.dtype, device: torch.device):
        self.capacity = capacity
        self.keys, self.values = (
            [torch.zeros(slots * x[0], capacity, x[which], dtype=dtype, device=device) for x in shapes]
            for which in (1, 2)
        )
        self.slots = slots
        self.lengths: list[int] = []  # tokens in the cache, per active row

    def reserve(self, tokens: int) -> None:
        """Make room for sequences of ``tokens`` tokens, keeping what is there."""
        if tokens <= self.capacity:
            return
        for cached in (self.keys, self.values):
            for layer, old in enumerate(cached):
                new = old.new_zeros(old.shape[0], tokens + GROWTH, old.shape[2])
                used = self.rows(old, 0, self.active)
                new[: len(used), : self.capacity] = used
                cached[layer] = new
        self.capacity = tokens + GROWTH

    @property
    def active(self) -> int:
        return len(self.lengths)

    def rows(self, cached: Tensor, first: int, count: int) -> Tensor:
        """A view of some slots of a layer's keys or values, ``[count*K, C, D]``."""
        heads = len(cached) // self.slots
        return cached[first * heads : (first + count) * heads]

    def prefill(self, prompts: Sequence[Sequence[int]]) -> CachedRow:
        """Take in new sequences, each in the next slot; what is asked for is at the last token of each."""
        lens, device = tuple(len(p) for p in prompts), self.keys[0].device
        layout = PrefillLayout(self, FlatLayout(lens), self.active)
        self.lengths.extend(lens)
        tokens = torch.tensor([t for p in prompts for t in p], device=device)
        positions = torch.cat([torch.arange(n) for n in lens]).to(device)
        return CachedRow(tokens, positions, torch.tensor(lens, device=device).cumsum(0) - 1, layout)

    def decode(self, newest: Sequence[int]) -> CachedRow:
        """The next token of every active row, ``B`` of them."""
        layout = DecodeLayout.of(self)
        self.lengths = [n + 1 for n in self.lengths]
        device = layout.positions.device
        return CachedRow(
            torch.tensor(newest, device=device), layout.positions, torch.arange(self.active, device=device), layout
        )

    def drop(self, row: int) -> None:
        """Remove an active row; the last active row takes its slot."""
        last = self.active - 1
        if row != last:
            used = self.lengths[last]
            for cached in (*self.keys, *self.values):
                self.rows(cached, row, 1)[:, :used] = self.rows(cached, last, 1)[:, :used]
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
            self.cache.rows(self.cache.keys[layer], row, 1)[:, : b - a] = k[:, a:b]
            self.cache.rows(self.cache.values[layer], row, 1)[:, : b - a] = v[:, a:b]
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
        return cls(cache, torch.tensor(cache.lengths, device=cache.keys[0].device))

    def bias(self, window: int | None) -> Tensor:
        """``[B,1,C]``: 0 for the keys that a row's new token sees, -inf for the rest; made once per window."""
        if window not in self._biases:
            keys = self.cache.keys[0]
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
        kv = len(k)
        slots = rows * kv
        keys, values = (self.cache.rows(cached[layer], 0, rows) for cached in (self.cache.keys, self.cache.values))
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
