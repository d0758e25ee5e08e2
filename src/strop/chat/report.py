"""Running counts of what the conversion met."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from strop.chat.notes import lines as note_lines


@dataclass
class MaskReport:
    """Counts over all conversations encoded so far; ``print(report)`` shows them in a few readable lines."""

    conversations: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    turns: int = 0
    control_strings: int = 0
    """Control tokens' strings found in text from messages."""
    control_string_kinds: Counter[str] = field(default_factory=Counter)
    straddling_tokens: int = 0
    drift_turns: int = 0
    drift_tokens: int = 0
    missing_stop: int = 0
    inferred_stops: Counter[str] = field(default_factory=Counter)
    """Turns that end with a control token outside the stop set, by token."""
    dropped_fields: Counter[str] = field(default_factory=Counter)
    """Trained turns of which the template printed none of a field that they have (earlier reasoning, mostly)."""
    waived: Counter[str] = field(default_factory=Counter)
    too_long_dropped: int = 0
    truncated: int = 0
    truncated_turns: int = 0
    """Trained turns that the cut left without a stop token."""
    examples: int = 0
    split: int = 0
    """Conversations cut into several examples."""
    exchanges_dropped: int = 0
    """Exchanges of split conversations that are too long by themselves."""
    audited: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    """What the rows were taken for, those that were left out included."""
    notes: Counter[str] = field(default_factory=Counter)
    """What of the rows was not used, and what was left out: see `strop.chat.notes`."""

    @property
    def trained_fraction(self) -> float:
        return self.trained_tokens / self.tokens if self.tokens else 0.0

    def tell(self, row: Any) -> None:
        """Count what is to be told of a parsed row: a `Conversation`, `Text` or `LeftOut`."""
        self.notes.update(row.notes)
        if row.format:
            self.formats[row.format] += 1

    def merge(self, other: "MaskReport") -> None:
        """Add what another report counted."""
        for entry in fields(self):
            setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))

    def to_dict(self) -> dict[str, Any]:
        """For JSON. (`dataclasses.asdict` makes nonsense of counters.)"""
        values = ((entry.name, getattr(self, entry.name)) for entry in fields(self))
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "MaskReport":
        return cls(**{name: Counter(value) if isinstance(value, dict) else value for name, value in values.items()})

    def __str__(self) -> str:
        lines = [
            f"{self.conversations:,} conversations, {self.tokens:,} tokens, "
            f"{self.trained_tokens:,} trained ({self.trained_fraction:.1%}) in {self.turns:,} turns"
        ]
        notes = []
        if self.control_strings:
            notes.append(f"{self.control_strings:,} control strings in messages ({_list(self.control_string_kinds)})")
        if self.drift_turns:
            notes.append(
                f"{self.drift_turns:,} turns trained after another prompt than served ({self.drift_tokens:,} tokens)"
            )
        if self.inferred_stops:
            notes.append(f"turns ending with a token outside the stop set ({_list(self.inferred_stops)})")
        if self.dropped_fields:
            notes.append(f"fields the template did not print ({_list(self.dropped_fields)})")
        if self.waived:
            notes.append(f"waived violations ({_list(self.waived)})")
        for count, what in (
            (self.missing_stop, "turns without a stop token"),
            (self.straddling_tokens, "tokens across a turn's border"),
            (self.too_long_dropped, "conversations dropped as too long"),
            (self.truncated, "conversations truncated"),
            (self.truncated_turns, "turns left without a stop token by that"),
            (self.split, "conversations split into several examples"),
            (self.exchanges_dropped, "exchanges dropped as too long"),
        ):
            if count:
                notes.append(f"{count:,} {what}")
        told = note_lines(self.notes)
        if not notes and not told:
            return "\n".join([*lines, "nothing unusual met"])
        return "\n".join([*lines, *(["; ".join(notes)] if notes else []), *told])


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common(5))
