"""What attends to what: pairs of a stretch of queries and a stretch of keys, and what a family does to the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import torch
from torch import Tensor

PAGE = 64
"""Tokens of a page of a key/value cache; the tiles of the CPU's attention kernel are as long."""


@dataclass(frozen=True)
class AttentionOptions:
    """What a model family does to attention beside causal softmax; nothing by default.

    ``window``: a query sees itself and the ``window - 1`` tokens before it (Mistral; None = all). ``softcap``: scaled
    scores become ``softcap * tanh(score / softcap)`` before the mask (Gemma 2). ``sinks [H]``: one more logit per head
    in the denominator of the softmax, with no value behind it (gpt-oss).
    """

    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None

    @property
    def softmax_alone(self) -> bool:
        """Whether nothing happens to the scores but scaling, masking and their softmax."""
        return self.softcap is None and self.sinks is None


PLAIN = AttentionOptions()


def stretches(lens: Sequence[int]) -> list[tuple[int, int]]:
    """(start, end) of stretches of these lengths, one after another."""
    return list(pairwise(accumulate(lens, initial=0)))


@dataclass(frozen=True)
class Segments:
    """N pairs of a stretch of a query row and a stretch of a key row, both one after another without gaps.

    ``queries``, ``keys``: their lengths; keys are at least as many. The last query stands at the last key: query ``i``
    of a pair with ``Lq`` queries and ``Lk`` keys sees keys ``0 … Lk - Lq + i``.
    """

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    _on_device: dict = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self):
        if len(self.queries) != len(self.keys) or any(q > k for q, k in zip(self.queries, self.keys, strict=True)):
            raise ValueError(f"every query needs its own key: {self.queries} queries, {self.keys} keys.")

    @property
    def bounds(self) -> list[tuple[int, int, int, int]]:
        """(first query, end of queries, first key, end of keys) of every pair."""
        return [(*q, *k) for q, k in zip(stretches(self.queries), stretches(self.keys), strict=True)]

    def offsets(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Where the stretches begin and end, int32 ``[N+1]`` of queries and of keys; copied to a device only once."""
        if device not in self._on_device:
            self._on_device[device] = tuple(
                torch.tensor([*accumulate(lens, initial=0)], dtype=torch.int32, device=device)
                for lens in (self.queries, self.keys)
            )
        return self._on_device[device]
