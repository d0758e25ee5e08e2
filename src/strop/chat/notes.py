"""What is told of data beside errors: what of the rows was not used or left out, and what the conversion met.

A note is counted under a kind, or under ``kind:name`` where many of a kind stand in one line. Parsing counts them
(`strop.chat.field.Field.note`), a `Conversation` carries them, and the encoder's report adds them up over all rows.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Literal, NamedTuple

from strop.chat.field import printable
from strop.chat.inspection import Encoded, Example

_NAMES_SHOWN = 12
Level = Literal["warning", "note"]


class Kind(NamedTuple):
    """A kind of note: its words (``{n}`` is the count), how much it matters, and what to do about it.

    ``unit``: what is counted, where the kind lists names.
    """

    level: Level
    text: str
    mend: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """One line: its kind, how many it counts (of the most frequent name, where it lists several), and the words."""

    kind: str
    count: int
    text: str
    level: Level
    mend: str


_DROP = "drop them from the file to be rid of this line"
_warning, _note = partial(Kind, "warning"), partial(Kind, "note")
KINDS = {
    "bad": _warning("rows left out, because they say that their answer is not wanted", _DROP, "row"),
    "only_rejected": _warning("rows left out, because they hold a rejected answer alone: {n}", _DROP),
    "no_weight": _note(
        "rows left out, because they say that they are not trained (a weight of 0, train: false): {n}", _DROP
    ),
    "untrained": _note(
        "conversations left out, because all of their trained answers are marked as not trained: {n}", _DROP
    ),
    "preference": _warning(
        "preference pairs, of which the chosen answer is trained and the rejected one left out: {n}",
        "an objective for preferences (strop dpo) learns from both",
    ),
    "half_pair": _warning(
        "pairs left out, because nothing is left of one of their answers within max_length: {n}", "raise max_length"
    ),
    "branches": _note(
        "messages of message trees left out (of each tree the best-ranked path is trained): {n}",
        "make a row of each other path that is to be trained, too",
    ),
    "column": _note("columns not read", "columns: {NAME: COLUMN} reads one under a name that the formats know", "row"),
    "field": _note(
        "fields of messages not read", "rename what is meant to count (train, weight, reasoning_content …)", "message"
    ),
    "variable": _warning(
        "template variables of rows that the template does not know", "check their names, or drop them", "row"
    ),
    "context": _note(
        "rows whose context stands before the question, with a blank line between them: {n}", "as intended?"
    ),
    "foreign_marks": _warning(
        "turns marked as trained that are not an assistant's, so they are not: {n}",
        "chat.train_on: all trains all text",
    ),
    "order": _warning(
        "messages with parts in another order than templates print (reasoning, text, calls): {n}",
        "cut such messages up, or accept that order",
    ),
    "orphan_think": _note(
        "answers with </think> but no <think>; what stands before it is trained as reasoning: {n}",
        "give it as reasoning_content",
    ),
    "orphan_think_kept": _warning(
        "answers with </think> but no <think>, whose reasoning is not kept apart, for the template prints none: {n}",
        "use a template that prints reasoning, or drop what stands before </think>",
    ),
}


def notes_of(counts: Mapping[str, int]) -> Iterator[Note]:
    """One note for each kind that was counted: what was left out first."""
    for name, kind in KINDS.items():
        if not kind.unit:
            if count := counts.get(name):
                yield Note(name, count, kind.text.format(n=f"{count:,}"), kind.level, kind.mend)
            continue
        named = {key.partition(":")[2]: count for key, count in counts.items() if key.startswith(f"{name}:")}
        if named:
            text = f"{kind.text}: {_listed(named, kind.unit)}"
            yield Note(name, max(named.values()), text, kind.level, kind.mend)


def lines(counts: Mapping[str, int]) -> list[str]:
    return [note.text for note in notes_of(counts)]


def _listed(named: Mapping[str, int], unit: str) -> str:
    ordered = sorted(named.items(), key=lambda pair: -pair[1])
    shown = ", ".join(
        f"{printable(name)} ({count:,} {unit}{'s' * (count != 1)})" for name, count in ordered[:_NAMES_SHOWN]
    )
    return shown + (f" and {len(ordered) - _NAMES_SHOWN} more" if len(ordered) > _NAMES_SHOWN else "")


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
    drift_mends: Counter[str] = field(default_factory=Counter)
    """Turns among these by what would make training and serving equal (see `strop.chat.drift`), of a sample."""
    missing_stop: int = 0
    inferred_stops: Counter[str] = field(default_factory=Counter)
    """Turns that end with a control token outside the stop set, by token."""
    dropped_fields: Counter[str] = field(default_factory=Counter)
    """What the template did not print, or not whole, by kind: see `strop.chat.losses.DROPPED`."""
    waived: Counter[str] = field(default_factory=Counter)
    patterns: Counter[str] = field(default_factory=Counter)
    """Examples in which each of ``token_weights`` was looked for."""
    weighed: Counter[str] = field(default_factory=Counter)
    """Tokens that each of them matched."""
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

    def left_out(self, max_length: int | None) -> str:
        """How many conversations ``max_length`` left nothing of, in words; empty where it was none."""
        if not self.too_long_dropped and not self.exchanges_dropped:
            return ""
        why = f"longer than max_length {max_length}"
        if self.too_long_dropped:
            were = "was" if self.too_long_dropped == 1 else "were"
            of = _number(self.conversations, "conversation")
            return f"{self.too_long_dropped:,} of {of} {were} dropped ({why})"
        return f"{_number(self.exchanges_dropped, 'exchange')} dropped ({why})"

    def tell(self, row: Any) -> None:
        """Count what is to be told of a parsed row: a `Conversation`, `Text` or `LeftOut`."""
        self.notes.update(row.notes)
        if row.format:
            self.formats[row.format] += 1

    def count(self, made: Encoded, controls: Mapping[int, str]) -> None:
        """Add an encoded conversation; ``controls``: the control tokens' strings by id."""
        example = made.example
        self.count_example(example)
        self.count_strings(made.rendered.tokens.control_strings)
        self.turns += len(example.turns)
        for turn in example.turns:
            self.straddling_tokens += turn.straddling
            self.drift_turns += turn.drifted
            self.drift_tokens += turn.drift_tokens
            if turn.mend:
                self.drift_mends[turn.mend] += 1
            self.missing_stop += turn.ending == "none"
            self.truncated_turns += turn.ending == "truncated"
            if turn.ending == "control":
                self.inferred_stops[controls[example.tokens[turn.last - 1]]] += 1
        self.dropped_fields.update(loss.kind for loss in made.losses)
        self.patterns.update(made.weighed.keys())
        self.weighed.update(made.weighed)

    def count_example(self, example: Example) -> None:
        self.examples += 1
        self.tokens += len(example.tokens)
        self.trained_tokens += example.trained_tokens

    def count_strings(self, found: Sequence[str]) -> None:
        """Control tokens' strings in text from messages."""
        self.control_strings += len(found)
        self.control_string_kinds.update(found)

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
        given: dict[str, Any] = {n: Counter(value) if isinstance(value, dict) else value for n, value in values.items()}
        return cls(**given)

    def __str__(self) -> str:
        return "\n".join([self.summary, *(self.unusual or ["nothing unusual met"])])

    @property
    def summary(self) -> str:
        """How much there is, in a line."""
        return (
            f"{_number(self.conversations, 'conversation')}, {_number(self.tokens, 'token')}, "
            f"{self.trained_tokens:,} trained ({self.trained_fraction:.1%}) in {_number(self.turns, 'turn')}"
        )

    @property
    def unusual(self) -> list[str]:
        """What was met that is worth a word, in lines; none where there was nothing."""
        drifted = f"trained after another prompt than served ({_number(self.drift_tokens, 'token')})"
        dropped = _list(self.dropped_fields, len(self.dropped_fields))
        inferred = f"turns ending with a token outside the stop set ({_list(self.inferred_stops)})"
        unmet = [pattern for pattern in self.patterns if not self.weighed[pattern]]
        nowhere = f"token_weights that match nothing in any answer: {', '.join(map(repr, unmet))}"
        met = (
            (len(unmet), "", nowhere),
            (self.control_strings, "control string", f"in messages ({_list(self.control_string_kinds)})"),
            (self.drift_turns, "turn", drifted),
            (len(self.inferred_stops), "", inferred),
            (len(self.dropped_fields), "", f"not printed by the template: {dropped}"),
            (len(self.waived), "", f"waived violations ({_list(self.waived)})"),
            (self.missing_stop, "turn", "without a stop token"),
            (self.straddling_tokens, "token", "across a turn's border"),
            (self.too_long_dropped, "conversation", "dropped as too long"),
            (self.truncated, "conversation", "truncated"),
            (self.truncated_turns, "turn", "left without a stop token by that"),
            (self.split, "conversation", "split into several examples"),
            (self.exchanges_dropped, "exchange", "dropped as too long"),
        )
        said = "; ".join(f"{_number(count, noun)} {what}" if noun else what for count, noun, what in met if count)
        return [*filter(None, [said]), *lines(self.notes)]


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _list(counts: Counter[str], most: int = 5) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common(most))
