"""What is told of data beside errors: what of the rows was not used, and what was left out, each with its count.

A note is counted under a kind, or under ``kind:name`` where many of a kind stand in one line. Parsing counts them
(`Field.note`), a `Conversation` carries them, and the encoder's report adds them up over all rows.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from strop.chat.field import printable

_NAMES_SHOWN = 12


class Note(NamedTuple):
    """One line: its kind, how many it counts (of the most frequent, where it lists several), and the words."""

    kind: str
    count: int
    text: str


_LISTS = {
    "bad": ("rows left out, because they say that their answer is not wanted", "row"),
    "column": ("columns not read", "row"),
    "field": ("fields of messages not read", "message"),
    "variable": ("template variables of rows that the template does not know", "row"),
}
_LINES = {
    "only_rejected": "rows left out, because they hold a rejected answer alone: {n}",
    "no_weight": "rows left out, because they say that they are not trained (a weight of 0, train: false): {n}",
    "untrained": "conversations left out, because all of their answers are marked as not trained: {n}",
    "preference": "preference pairs, of which the chosen answer is trained and the rejected one left out: {n}",
    "branches": "messages of message trees left out (the best-ranked path is trained): {n}",
    "context": "rows whose context stands before the question, with a blank line between them: {n}",
    "foreign_marks": "turns marked as trained that are no assistant's, so they are not (chat.train_on: all): {n}",
    "order": "messages with parts in another order than templates print (reasoning, text, calls): {n}",
    "orphan_think": "answers with </think> but no <think>; what stands before it is taken for reasoning: {n}",
    "orphan_think_kept": "answers with </think> but no <think>, trained as they stand (the template knows no "
    "reasoning): {n}",
}


def notes_of(counts: Mapping[str, int]) -> Iterator[Note]:
    """One note for each kind that was counted: what was left out first."""
    for kind, text in [*_LISTS.items(), *_LINES.items()]:
        if kind in _LINES:
            if count := counts.get(kind):
                yield Note(kind, count, text.format(n=f"{count:,}"))
            continue
        named = {key.partition(":")[2]: count for key, count in counts.items() if key.startswith(f"{kind}:")}
        if named:
            words, unit = text
            yield Note(kind, max(named.values()), f"{words}: {_listed(named, unit)}")


def lines(counts: Mapping[str, int]) -> list[str]:
    return [note.text for note in notes_of(counts)]


def _listed(named: Mapping[str, int], unit: str) -> str:
    ordered = sorted(named.items(), key=lambda pair: -pair[1])
    shown = ", ".join(
        f"{printable(name)} ({count:,} {unit}{'s' * (count != 1)})" for name, count in ordered[:_NAMES_SHOWN]
    )
    return shown + (f" and {len(ordered) - _NAMES_SHOWN} more" if len(ordered) > _NAMES_SHOWN else "")
