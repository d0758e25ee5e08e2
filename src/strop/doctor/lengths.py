"""How long the conversations are, and what a limit would cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from strop.chat import ChatSettings
from strop.doctor.findings import Finding, Tally
from strop.doctor.masks import LIMITS
from strop.doctor.rows import ReadRow

if TYPE_CHECKING:
    from strop.train.settings import TrainSettings

_EDGES = [2**k for k in range(5, 24)]  # 32, 64, … tokens


@dataclass(frozen=True, slots=True)
class CutLoss:
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
    losses: list[CutLoss]

    def to_dict(self) -> dict[str, Any]:
        return {
            "bins": [{"from": a, "to": b, "conversations": n} for a, b, n in self.bins],
            **{name: getattr(self, name) for name in ("shortest", "median", "p99", "longest")},
            "cut_at": [{name: getattr(loss, name) for name in CutLoss.__slots__} for loss in self.losses],
        }


def lengths_of(rows: Sequence[ReadRow]) -> Lengths | None:
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
        CutLoss(
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


def check_fit(
    rows: Sequence[ReadRow], settings: ChatSettings, train: TrainSettings, window: int | None
) -> Iterator[Finding]:
    """Conversations that neither a flat row nor the model can take whole, where ``max_length`` lets them by.

    Plain text is cut into windows. ``window``: the most tokens that the model reads, None where nothing says so.
    """
    long = [row for row in rows if row.messages and row.trained and _length(row, settings) > 0]
    limits = [
        (
            window,
            "too_long_for_model",
            f"the model reads (max_position_embeddings {window})",
            "set chat.max_length to {} or less, and chat.too_long",
        ),
        (
            train.micro_batch_tokens,
            "row_too_short",
            f"a row holds (micro_batch_tokens {train.micro_batch_tokens:,})",
            "raise micro_batch_tokens to at least {}, or set chat.max_length and chat.too_long",
        ),
    ]
    for limit, kind, what, mend in limits:
        tally, most = Tally(), 0
        for row in long:
            length = _length(row, settings)
            if limit is not None and length > limit:
                most = max(most, length)
                tally.add(kind, row.place, f"{length:,} tokens")
        if most:
            message = f"{{n}} ⟨conversation has|conversations have⟩ more tokens than {what}; the longest has {most:,}"
            yield tally.finding(kind, "error", message, mend.format(limit if kind == "too_long_for_model" else most))


def _length(row: ReadRow, settings: ChatSettings) -> int:
    """Tokens of the longest example that training gets of a conversation, as far as lengths tell."""
    if settings.max_length is None or row.tokens <= settings.max_length:
        return row.tokens
    return settings.max_length if settings.too_long in ("truncate", "split_turns") else 0
