"""How long the conversations are, and what a limit would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from strop.doctor.masks import LIMITS
from strop.doctor.rows import Row

_EDGES = [2**k for k in range(5, 24)]  # 32, 64, … tokens


@dataclass(frozen=True, slots=True)
class Loss:
    """What cutting every conversation at ``limit`` tokens would take away."""

    limit: int
    conversations: int
    tokens: float
    """Share of all tokens."""
    trained: float
    """Share of the trained tokens."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """In tokens. ``bins``: ``(lower, upper, count)``, lower included, upper not."""

    bins: list[tuple[int, int, int]]
    shortest: int
    median: int
    p99: int
    longest: int
    losses: list[Loss]

    def to_dict(self) -> dict[str, Any]:
        return {
            "bins": [{"from": a, "to": b, "conversations": n} for a, b, n in self.bins],
            **{name: getattr(self, name) for name in ("shortest", "median", "p99", "longest")},
            "cut_at": [{name: getattr(loss, name) for name in Loss.__slots__} for loss in self.losses],
        }


def lengths_of(rows: Sequence[Row]) -> Lengths | None:
    """None where no conversation could be encoded."""
    sizes = sorted(row.tokens for row in rows if row.tokens)
    if not sizes:
        return None
    edges = [0, *_EDGES]
    used = [
        (low, high, sum(low <= size < high for size in sizes))
        for low, high in pairwise(edges)
        if low <= sizes[-1] and high > sizes[0]
    ]
    turns = [row for row in rows if row.messages]  # plain text goes on in another window
    tokens, trained = max(1, sum(r.tokens for r in turns)), max(1, sum(r.trained for r in turns))
    losses = [
        Loss(
            limit,
            sum(row.tokens > limit for row in turns),
            sum(max(0, row.tokens - limit) for row in turns) / tokens,
            sum(row.beyond.get(limit, 0) for row in turns) / trained,
        )
        for limit in LIMITS
    ]
    return Lengths(used, sizes[0], _at(sizes, 0.5), _at(sizes, 0.99), sizes[-1], losses)


def _at(sizes: Sequence[int], share: float) -> int:
    return sizes[min(len(sizes) - 1, int(share * len(sizes)))]
