"""How long the conversations are, and what a limit would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from strop.chat import ChatSettings
from strop.doctor.findings import Finding, Tally
from strop.doctor.masks import LIMITS
from strop.doctor.rows import ReadRow

if TYPE_CHECKING:
    from strop.train.settings import TrainSettings


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
    cut_at: list[CutLoss]

    def to_dict(self) -> dict[str, Any]:
        bins = [{"from": low, "to": high, "conversations": count} for low, high, count in self.bins]
        return asdict(self) | {"bins": bins}


def lengths_of(rows: Sequence[ReadRow]) -> Lengths | None:
    """None where no conversation could be encoded."""
    sizes = sorted(row.tokens for row in rows if row.tokens)
    if not sizes:
        return None
    bins = [
        (low, high, sum(low <= size < high for size in sizes))
        for low, high in pairwise([0, *(2**k for k in range(5, max(6, sizes[-1].bit_length() + 1)))])  # 32, 64 …
        if low <= sizes[-1] and high > sizes[0]
    ]
    turns = [row for row in rows if row.messages]  # plain text goes on in another window
    tokens, trained = max(1, sum(r.tokens for r in turns)), max(1, sum(r.trained for r in turns))
    losses = [
        CutLoss(
            limit,
            sum(row.tokens > limit for row in turns),
            sum(max(0, row.tokens - limit) for row in turns) / tokens,
            sum(row.beyond[limit] for row in turns) / trained,
        )
        for limit in LIMITS
    ]
    median, p99 = (sizes[int(share * len(sizes))] for share in (0.5, 0.99))
    return Lengths(bins, sizes[0], median, p99, sizes[-1], losses)


def kept_lengths(row: ReadRow, settings: ChatSettings, room: int | None = None) -> list[int]:
    """Tokens of the examples that training gets of a row, as far as lengths tell: shorter or fewer, as ``too_long`` has
    it. ``room``: what windows over plain text are cut to where ``max_length`` is not set."""
    limit = settings.max_length or (None if row.messages else room)
    if not row.trained:
        return []
    if limit is None or row.tokens <= limit:
        return [row.tokens]
    if not row.messages or settings.too_long == "split_turns":  # about as many as it takes
        return [limit] * (row.tokens // limit) + [row.tokens % limit] * (row.tokens % limit > 0)
    return [limit] if settings.too_long == "truncate" else []


def check_fit(
    rows: Sequence[ReadRow], settings: ChatSettings, train: TrainSettings, window: int | None
) -> list[Finding]:
    """Conversations that neither a flat row nor the model can take whole, where ``max_length`` lets them by.

    Plain text is cut into windows. ``window``: the most tokens that the model reads, None where nothing says so.
    """
    tally, most = Tally(), 0
    for row in rows:
        length = max(kept_lengths(row, settings), default=0) if row.messages else 0
        most = max(most, length)
        for kind, limit in (("too_long_for_model", window), ("row_too_short", train.micro_batch_tokens)):
            if limit is not None and length > limit:
                tally.add(kind, row.place, f"{length:,} tokens")
    have, longest = "{n} ⟨conversation has|conversations have⟩ more tokens than", f"; the longest has {most:,}"
    return tally.findings(
        {
            "too_long_for_model": (
                "error",
                f"{have} the model reads (max_position_embeddings {window}){longest}",
                f"set chat.max_length to {window} or less, and chat.too_long",
            ),
            "row_too_short": (
                "error",
                f"{have} a row holds (micro_batch_tokens {train.micro_batch_tokens:,}){longest}",
                f"raise micro_batch_tokens to at least {most}, or set chat.max_length and chat.too_long",
            ),
        }
    )
