"""Rows of a data set as the doctor sees them: those that can be read, and those that cannot, with the reason."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strop.chat import Conversation, LeftOut, Message, Text, parse_row
from strop.chat.formats import AUTO, name_format
from strop.chat.notes import notes_of
from strop.common.errors import InputError
from strop.data.rows import OnBad, Row
from strop.doctor.findings import PLACES, Finding, Level, Tally

_PLACE = re.compile(r"(?:(?P<place>.+?(?::\d+|, row \d+)): )?(?P<reason>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that strop cannot use: training would stop at it."""

    place: str
    reason: str
    text: str = ""


@dataclass(slots=True)
class ReadRow:
    """A readable row. `MaskCheck` sets ``tokens``, ``trained``, ``beyond`` (trained tokens after each limit) and what
    follows them."""

    place: str
    conversation: Conversation | Text
    raw: Mapping[str, Any]
    format: str = "auto"
    """What its part is said to be."""
    tokens: int = 0
    trained: int = 0
    beyond: Counter[int] = field(default_factory=Counter)
    refused: bool = False
    """Whether the template refuses it, or it cannot be encoded."""
    failed: str = ""
    """The first check that training would stop at, or leave it out for."""
    gone: str = ""
    """Why a cleaned file leaves it out: it is said before, or in an evaluation."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """None of plain text."""
        return self.conversation.messages if isinstance(self.conversation, Conversation) else ()

    def texts(self) -> Iterator[str]:
        """Everything said, message by message."""
        if isinstance(self.conversation, Text):
            yield self.conversation.text
        for message in self.messages:
            yield from (text for text in (message.content, message.reasoning_content) if text)

    def answers(self) -> Iterator[str]:
        """The text of every assistant turn that has one."""
        return (m.content for m in self.messages if m.role == "assistant" and m.content)

    def given(self) -> Iterator[str]:
        """Everything said but by the model: what it is asked and told."""
        if isinstance(self.conversation, Text):
            yield self.conversation.text
        yield from (m.content for m in self.messages if m.role != "assistant" and m.content)

    def user_text(self) -> str:
        return "\n".join(m.content for m in self.messages if m.role == "user" and m.content)


@dataclass(slots=True)
class DataSet:
    """One part of the training data, read to its end."""

    name: str
    rows: list[ReadRow]
    rejected: list[Rejected]
    formats: Counter[str]
    """What the rows were taken for, those that were left out or are not for training included."""
    left_out: list[LeftOut] = field(default_factory=list)
    """Rows that say themselves that they are not to be trained."""
    remarks: list[str] = field(default_factory=list)
    """How the files are read, and which are left out."""
    passes: float = 1.0
    """How often each of its rows comes in one epoch of the mixture."""

    @property
    def read(self) -> int:
        return len(self.rows) + len(self.rejected) + len(self.left_out)

    def summary(self) -> dict[str, Any]:
        """In numbers."""
        tokens, trained = sum(r.tokens for r in self.rows), sum(r.trained for r in self.rows)
        return {
            "name": self.name,
            "rows": self.read,
            "rejected": len(self.rejected) + sum(row.refused for row in self.rows),
            "left_out": len(self.left_out),
            "formats": dict(self.formats),
            "tokens": tokens,
            "trained_tokens": trained,
            "trained_fraction": trained / tokens if tokens else None,
            "longest": max((r.tokens for r in self.rows), default=0),
        }


def read_set(
    name: str, rows: Callable[[OnBad], Iterable[Row]], format: str = "auto", remarks: list[str] | None = None
) -> DataSet:
    """Validate every row; what is wrong with one is kept and the next is read.

    ``rows`` gets a function that takes the errors of rows that cannot be read, as `strop.data.files.open_rows` does;
    ``remarks`` is the list that it fills meanwhile. Raises InputError for what it raises: a file that is not there, or
    broken beyond the row.
    """
    found = DataSet(name, [], [], Counter(), remarks=[] if remarks is None else remarks)

    def unreadable(error: InputError) -> None:
        match = _PLACE.fullmatch(str(error))
        place, reason = match.group("place", "reason") if match else ("", str(error))
        found.rejected.append(Rejected(place or "", reason))

    for place, raw in rows(unreadable):
        try:
            parsed = parse_row(raw, place, format)
        except InputError as error:
            reason = str(error).removeprefix(f"{place}: ")
            found.rejected.append(Rejected(place, reason, json.dumps(raw, ensure_ascii=False, default=str)))
            if (kind := name_format(raw) if format in AUTO else format) != "unknown":
                found.formats[kind] += 1
            continue
        found.formats[parsed.format] += 1
        if isinstance(parsed, LeftOut):
            found.left_out.append(parsed)
        else:
            found.rows.append(ReadRow(place, parsed, raw, format))
    return found


def rejections(sets: Iterable[DataSet], skip: bool = False) -> list[Finding]:
    """The rejected rows of all sets, grouped by reason, the most frequent first. ``skip``: training leaves them out."""
    tally = Tally()
    for rejected in (r for data in sets for r in data.rejected):
        tally.add(_general(rejected.reason), rejected.place, rejected.text)
    level: Level = "warning" if skip else "error"
    usual = "training leaves them out; mend them to have them" if skip else "mend them, or let --fix OUT leave them out"
    other = "give conversations to train on, and use this file for what it is"
    return [
        tally.finding(
            reason,
            level,
            "{n} ⟨row|rows⟩ cannot be read: " + reason,
            other if ": this is " in reason else usual,
            name="rejected",
        )
        for reason in sorted(tally.counts, key=lambda reason: -tally.counts[reason])
    ]


def readings(sets: Sequence[DataSet], notes: Counter[str]) -> list[Finding]:
    """What of the data is not used, one line for each kind; ``notes`` are the encoder's, of the rows that it got."""
    total = sum((Counter(row.notes) for data in sets for row in data.left_out), Counter(notes))
    places: dict[str, list[str]] = defaultdict(list)
    for parsed in (one for data in sets for one in (*data.left_out, *(row.conversation for row in data.rows))):
        for kind in {key.partition(":")[0] for key in parsed.notes}:
            if len(places[kind]) < PLACES:
                places[kind].append(parsed.place)
    return [
        Finding(n.kind, n.level, n.count, n.text, n.mend, next(iter(places[n.kind]), ""), "", tuple(places[n.kind]))
        for n in notes_of(total)
    ]


def _general(reason: str) -> str:
    """A reason without what differs from row to row: positions and quoted values."""
    return re.sub(r"\[\d+\]", "[…]", re.sub(r"(?<!\w)'[^']{25,}'|\"[^\"]{25,}\"", "'…'", reason))
