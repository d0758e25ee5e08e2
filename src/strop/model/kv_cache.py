"""Keys and values of sequences in pages, so that sequences that begin alike share memory.

Shapes: T tokens of a flat row, B sequences with one new token, K key/value heads, G query heads per key/value head, P
tokens of a page, N pages of the longest sequence, D width of queries and keys, E of values.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from strop.common.errors import InputError
from strop.model.attention import FlatLayout, Layout
from strop.model.attention_backends import attend_segments
from strop.model.probe import Observed
from strop.model.segments import PAGE, PLAIN, AttentionOptions, Segments, stretches

if TYPE_CHECKING:
    from strop.model.policy import Policy

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
    # As it is written: a trained model's blocks may be compiled, and would be once more for this one token.
    with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
        policy(CachedRow(token, token, token, layout), ("hidden",))
    calls = sorted(layout.calls, key=lambda call: call.layer)
    for layer, call in enumerate(calls):
        if call.layer != layer:
            raise InputError(
                f"this model runs its layer {call.layer} twice per token, so it cannot generate with a cache."
            )
    return tuple((call.heads, call.keys, call.values) for call in calls), calls[0].dtype


class KVCache:
    """``keys``, ``values``: per layer ``[pages, K, P, D]`` and ``[pages, K, P, E]``; none at first, see `grow`."""

    def __init__(self, shapes: Shapes, dtype: torch.dtype, device: torch.device):
        self.keys, self.values = (
            [torch.empty(0, x[0], PAGE, x[which], dtype=dtype, device=device) for x in shapes] for which in (1, 2)
        )
        self.page_bytes = PAGE * sum(heads * (keys + values) for heads, keys, values in shapes) * dtype.itemsize

    @property
    def pages(self) -> int:
        return len(self.keys[0])

    def grow(self, pages: int) -> None:
        """Have ``pages`` pages; what is in those that there are stays."""
        for cached in (self.keys, self.values):
            for layer, old in enumerate(cached):
                # zeros: attention multiplies what stands beyond a sequence's end by 0, and NaN would survive that
                cached[layer] = old.new_zeros(pages, *old.shape[1:])
                cached[layer][: len(old)] = old

    def copy(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy whole pages."""
        for cached in (*self.keys, *self.values):
            for a, b in zip(source, target, strict=True):  # by views: an index of numbers takes ten times as long
                cached[b].copy_(cached[a])


@dataclass(frozen=True)
class PagedLayout:
    """A flat row in which each segment is the next tokens of a sequence in ``cache``; it sees that sequence alone.

    ``counts``: tokens of the row by segment. ``lengths``: of their sequences, these tokens included. ``tables``: the
    pages of each sequence in order, enough for its length. ``prompts``: how many tokens of each are its prompt (all,
    where it is empty); a kernel may attend these and the rest in two ways, each the same for a token in every row.
    Everything is written before anything is read, so a segment may read what another one writes.
    """

    cache: KVCache
    counts: tuple[int, ...]
    lengths: tuple[int, ...]
    tables: tuple[Sequence[int], ...]
    prompts: tuple[int, ...] = ()

    def row(self, tokens: Sequence[int], asked: Sequence[int]) -> CachedRow:
        """The row of these tokens, which asks for the positions ``asked`` of it."""
        device = self.cache.keys[0].device
        place = [i for n, length in zip(self.counts, self.lengths, strict=True) for i in range(length - n, length)]
        flat, places, index = (torch.tensor(x, dtype=torch.int64, device=device) for x in (tokens, place, asked))
        return CachedRow(flat, places, index, self)

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor]:
        """Page and row in it of every token, int64 ``[T]``."""
        places = [
            (table[i // PAGE], i % PAGE)
            for n, length, table in zip(self.counts, self.lengths, self.tables, strict=True)
            for i in range(length - n, length)
        ]
        return tuple(torch.tensor(x, device=self.cache.keys[0].device) for x in zip(*places, strict=True))

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, options: AttentionOptions = PLAIN
    ) -> Tensor:
        page, row = self._places
        self.cache.keys[layer][page, :, row] = k.transpose(0, 1)
        self.cache.values[layer][page, :, row] = v.transpose(0, 1)
        if self.counts == self.lengths:  # all begin here
            return attend_segments(q, k, v, self._segments, scale, options)
        out = q.new_empty(q.shape[1], len(q), v.shape[2])
        if self._single:
            index = self._single_index
            out[index] = self._attend_single(layer, q[:, index], scale, options)
        if self._several:
            index = self._several_index
            out[index] = self._attend_several(layer, q[:, index], scale, options).transpose(0, 1)
        return out.transpose(0, 1)

    # What follows is the same in every layer. It is made once: a copy from the host waits for all that a GPU has to do.

    @cached_property
    def _segments(self) -> Segments:
        return Segments(self.counts, self.lengths)

    @cached_property
    def _several_segments(self) -> Segments:
        counts, lengths = (tuple(x[i] for i in self._several) for x in (self.counts, self.lengths))
        return Segments(counts, lengths)

    @cached_property
    def _several_pages(self) -> list[Tensor]:
        """The pages of each segment of more than one token."""
        tables = [self.tables[i][: -(-self.lengths[i] // PAGE)] for i in self._several]
        pages = torch.tensor([page for table in tables for page in table], device=self.cache.keys[0].device)
        return list(pages.split([len(table) for table in tables]))

    @cached_property
    def _single(self) -> list[int]:
        """Segments of one token, which are attended together."""
        return [i for i, n in enumerate(self.counts) if n == 1]

    @cached_property
    def _several(self) -> list[int]:
        return [i for i, n in enumerate(self.counts) if n > 1]

    def _index(self, segments: list[int]) -> Tensor:
        bounds = stretches(self.counts)
        return torch.cat([torch.arange(*bounds[i]) for i in segments]).to(self.cache.keys[0].device)

    @cached_property
    def _single_index(self) -> Tensor:
        return self._index(self._single)

    @cached_property
    def _several_index(self) -> Tensor:
        return self._index(self._several)

    @cached_property
    def _single_pages(self) -> Tensor:
        """``[B,N]``: the pages of each, any page beyond its end."""
        longest = max(-(-self.lengths[i] // PAGE) for i in self._single)
        padded = [list(self.tables[i][:longest]) for i in self._single]
        rows = [pages + [pages[0]] * (longest - len(pages)) for pages in padded]
        return torch.tensor(rows, device=self.cache.keys[0].device)

    @cached_property
    def _biases(self) -> dict[int | None, Tensor]:
        return {}

    def _bias(self, window: int | None) -> Tensor:
        """``[B,1,N P]``: 0 for the keys that a sequence's new token sees, -inf for the rest."""
        if window not in self._biases:
            self._biases[window] = self._make_bias(window)
        return self._biases[window]

    def _make_bias(self, window: int | None) -> Tensor:
        keys = self.cache.keys[0]
        ends = torch.tensor([self.lengths[i] for i in self._single], device=keys.device)[:, None]
        place = torch.arange(self._single_pages.shape[1] * PAGE, device=keys.device)
        hidden = place >= ends
        if window is not None:
            hidden |= place < ends - window
        return torch.zeros(hidden.shape, device=keys.device).masked_fill_(hidden, float("-inf"))[:, None]

    def _attend_single(self, layer: int, q: Tensor, scale: float, options: AttentionOptions) -> Tensor:
        """``q [H,B,D]`` -> ``[B,H,E]``, one token per sequence: batched products over its pages."""
        heads, rows, width = q.shape
        keys, values = (cached[layer][self._single_pages] for cached in (self.cache.keys, self.cache.values))
        _, pages, kv, _, _ = keys.shape  # [B,N,K,P,D]
        grouped = (q * scale).transpose(0, 1).reshape(rows, 1, kv, heads // kv, width).expand(-1, pages, -1, -1, -1)
        scores = torch.matmul(grouped, keys.transpose(-1, -2)).permute(0, 2, 3, 1, 4).reshape(rows, heads, pages * PAGE)
        if options.softcap is not None:
            scores = torch.tanh(scores.float() / options.softcap) * options.softcap
        scores = scores.float() + self._bias(options.window)
        p = torch.softmax(scores, dim=-1)
        if options.sinks is not None:
            p = p * torch.sigmoid(torch.logsumexp(scores, dim=-1, keepdim=True) - options.sinks.float()[:, None])
        p = p.to(q.dtype).view(rows, kv, heads // kv, pages, PAGE).permute(0, 3, 1, 2, 4)
        return torch.matmul(p, values).sum(1, dtype=torch.float32).view(rows, heads, -1).to(q.dtype)

    def _attend_several(self, layer: int, q: Tensor, scale: float, options: AttentionOptions) -> Tensor:
        """``q [H,T',D]`` of the segments of more than one token -> ``[H,T',E]``."""
        parts = []
        for cached in (self.cache.keys[layer], self.cache.values[layer]):
            rows = [
                cached[pages].transpose(0, 1).flatten(1, 2)[:, : self.lengths[i]]  # [K,length,D]
                for i, pages in zip(self._several, self._several_pages, strict=True)
            ]
            parts.append(torch.cat(rows, dim=1))
        keys, values = parts
        return attend_segments(q, keys, values, self._several_segments, scale, options)
