"""Rows of answers that are compared, labelled or scored, to conversations that end with one answer each."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from strop.chat.conversation import Conversation, LeftOut
from strop.chat.field import Field, Seen, shown
from strop.chat.formats import check_format, finished, parse_row
from strop.chat.marks import wanted
from strop.chat.pairs import COMPARED, preference
from strop.chat.turns import TURN_NAMES
from strop.common.errors import InputError

Content = Literal["conversations", "pairs", "labelled", "scored"]
"""What the rows of a stage's data hold: answers to imitate; or chosen and rejected ones; or answers with a mark of
whether they are wanted; or with a number that says how good they are."""


class Answered(NamedTuple):
    """A conversation whose answer is judged, and what is said of it.

    ``value``: of a pair's chosen answer by how much it is better (``margin``, 0 where the row does not say), of the
    rejected one 0; of a labelled answer 1 (wanted) or -1; of a scored one its score.
    """

    conversation: Conversation
    value: float = 0.0


def parse_answers(row: Mapping[str, Any], place: str, format: str, content: Content) -> list[Answered] | LeftOut:
    """The answers of a row: two of ``pairs`` (the chosen one first), one of ``labelled`` and ``scored``, but two where
    a labelled row is a pair, whose chosen answer is wanted and the other not.

    Raises InputError for a row that does not hold what ``content`` says, naming what was expected.
    """
    check_format(format)
    row = Field(place).mapping(row)
    pair = _pair(row)
    if content == "pairs":
        if pair is None:
            raise _misfit(place, "no pair: expected chosen and rejected (or another of their names)", row)
        return _compared(row, pair, place, _number(row, "margin", place, least=0.0) or 0.0)
    if content == "labelled" and pair is not None:
        found = _compared(row, pair, place, 0.0)
        if isinstance(found, LeftOut):
            return found
        return [replaced._replace(value=value) for replaced, value in zip(found, (1.0, -1.0), strict=True)]
    marks = wanted(Seen(row))
    if content == "labelled":
        if not marks:
            raise _misfit(place, "no label: expected label (true or false), or chosen and rejected", row)
        value = 1.0 if _agreed(marks, place) else -1.0
    else:
        score = _number(row, "score", place)
        if score is None and not marks:
            raise _misfit(place, "no score: expected score (a number), or label (true or false)", row)
        value = float(_agreed(marks, place)) if score is None else score
    rest = {name: entry for name, entry in row.items() if name not in marks and name != "score"}
    parsed = parse_row(rest, place, format)
    if isinstance(parsed, LeftOut):
        return parsed
    if not isinstance(parsed, Conversation):
        raise Field(place).fail("plain text has no answer that could be judged; give a prompt and a completion")
    return [Answered(parsed, value)]


def prompt_of(conversation: Conversation) -> tuple[Any, ...]:
    """What comes before the judged answer, to tell rows of one prompt: the messages that are not trained before the
    first one that is, and the tools."""
    messages = conversation.messages
    first = next((i for i, message in enumerate(messages) if message.loss_weight), len(messages) - 1)
    return (*((m.role, m.content) for m in messages[:first]), repr(conversation.tools))


def _pair(row: Mapping[str, Any]) -> tuple[str, str] | None:
    def there(name: str) -> bool:
        return row.get(name) is not None and not isinstance(row[name], bool)

    if (both := next((pair for pair in COMPARED if there(pair[0]) and there(pair[1])), None)) is not None:
        return both
    # ms-swift writes the rejected answer beside the whole conversation.
    turns = next((name for name in TURN_NAMES if isinstance(row.get(name), list | tuple) and row[name]), None)
    other = next((pair[1] for pair in COMPARED if there(pair[1])), None)
    return None if turns is None or other is None else (turns, other)


def _compared(row: Mapping[str, Any], pair: tuple[str, str], place: str, margin: float) -> list[Answered] | LeftOut:
    chosen, rejected = pair
    if chosen in TURN_NAMES:
        turns = row[chosen]
        row = {**row, "prompt": list(turns[:-1]), "chosen": [turns[-1]]}
        del row[chosen]
        chosen = "chosen"
    found = []
    for first, second in ((chosen, rejected), (rejected, chosen)):
        at, seen = Field(place, "", Counter()), Seen(row)
        seen.read.add("margin")
        parsed = finished("preference", preference(seen, first, second, at), seen, at)
        if isinstance(parsed, LeftOut):
            return parsed
        parsed.notes.pop("preference", None)  # that only one of them is learnt from
        found.append(parsed)
    found[1] = replace(found[1], notes={}, format="")  # of a row it is told once
    return [Answered(found[0], margin), Answered(found[1])]


def _agreed(marks: dict[str, bool], place: str) -> bool:
    if len(set(marks.values())) > 1:
        first, second = next(iter(marks)), next(name for name in marks if marks[name] != next(iter(marks.values())))
        raise Field(place, second).fail(f"says the opposite of {first}; keep one of them")
    return next(iter(marks.values()))


def _number(row: Mapping[str, Any], name: str, place: str, least: float = -math.inf) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < least:
        wanted = "a finite number" if least == -math.inf else f"a finite number of at least {least:g}"
        raise Field(place, name).fail(f"expected {wanted}, found {shown(value)}")
    return float(value)


def _misfit(place: str, what: str, row: Mapping[str, Any]) -> InputError:
    return Field(place).fail(f"the row holds {what}; its columns are {', '.join(map(str, row)) or 'none'}")
