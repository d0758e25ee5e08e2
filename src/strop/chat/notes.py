"""What is told of data beside errors: what of the rows was not used, and what was left out, each with its count.

A note is counted under a kind, or under ``kind:name`` where many of a kind stand in one line. Parsing counts them
(`strop.chat.field.Field.note`), a `Conversation` carries them, and the encoder's report adds them up over all rows.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from strop.chat.field import printable

_NAMES_SHOWN = 12
Level = Literal["warning", "note"]


class Kind(NamedTuple):
    """A kind of note: its words (``{n}`` is the count), how much it matters, and what to do about it.

    ``unit``: what is counted, where the kind lists names.
    """

    text: str
    level: Level
    mend: str
    unit: str = ""


class Note(NamedTuple):
    """One line: its kind, how many it counts (of the most frequent name, where it lists several), and the words."""

    kind: str
    count: int
    text: str
    level: Level
    mend: str


_DROP = "drop them from the file to be rid of this line"
KINDS = {
    "bad": Kind("rows left out, because they say that their answer is not wanted", "warning", _DROP, "row"),
    "only_rejected": Kind("rows left out, because they hold a rejected answer alone: {n}", "warning", _DROP),
    "no_weight": Kind(
        "rows left out, because they say that they are not trained (a weight of 0, train: false): {n}", "note", _DROP
    ),
    "untrained": Kind(
        "conversations left out, because all of their trained answers are marked as not trained: {n}", "note", _DROP
    ),
    "preference": Kind(
        "preference pairs, of which the chosen answer is trained and the rejected one left out: {n}",
        "warning",
        "an objective for preferences learns from both",
    ),
    "branches": Kind(
        "messages of message trees left out (of each tree the best-ranked path is trained): {n}",
        "note",
        "make a row of each other path that is to be trained, too",
    ),
    "column": Kind(
        "columns not read", "note", "columns: {NAME: COLUMN} reads one under a name that the formats know", "row"
    ),
    "field": Kind(
        "fields of messages not read",
        "note",
        "rename what is meant to count (train, weight, reasoning_content …)",
        "message",
    ),
    "variable": Kind(
        "template variables of rows that the template does not know",
        "warning",
        "check their names, or drop them",
        "row",
    ),
    "context": Kind(
        "rows whose context stands before the question, with a blank line between them: {n}", "note", "as intended?"
    ),
    "foreign_marks": Kind(
        "turns marked as trained that are not an assistant's, so they are not: {n}",
        "warning",
        "chat.train_on: all trains all text",
    ),
    "order": Kind(
        "messages with parts in another order than templates print (reasoning, text, calls): {n}",
        "warning",
        "cut such messages up, or accept that order",
    ),
    "orphan_think": Kind(
        "answers with </think> but no <think>; what stands before it is trained as reasoning: {n}",
        "note",
        "give it as reasoning_content",
    ),
    "orphan_think_kept": Kind(
        "answers with </think> but no <think>, whose reasoning is not kept apart, for the template prints none: {n}",
        "warning",
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
