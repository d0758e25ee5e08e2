"""The shapes of row that are understood, and how each becomes a `Conversation`."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar, get_args

from strop.chat.columns import misfit
from strop.chat.conversation import Conversation, LeftOut, Message, read_documents
from strop.chat.field import Field, Seen
from strop.chat.marks import from_words, trained, wanted, weight
from strop.chat.pairs import (
    COMPARED,
    COMPLETIONS,
    PROMPTS,
    alpaca,
    is_prompt_response,
    is_verl,
    preference,
    prompt_completion,
    verl,
)
from strop.chat.pairs import prompt_response as read_prompt_response
from strop.chat.purposes import purpose_of
from strop.chat.text import Document, Text
from strop.chat.turns import TURN_NAMES, is_tree, read_turns, template_variables, tools_beside, tree, with_system
from strop.common.errors import InputError

Format = Literal[
    "auto",
    "auto_text",
    "messages",
    "sharegpt",
    "prompt_completion",
    "alpaca",
    "prompt_response",
    "preference",
    "verl",
    "tree",
    "text",
]
FORMATS: tuple[str, ...] = get_args(Format)
Found = TypeVar("Found")
AUTO = ("auto", "auto_text")
"""What goes by the columns, row by row: both alike but for a row of text alone, which is a text under the second."""
_MOST_MESSAGES = 100_000
"""Far more than any conversation has, and what `strop.chat.origin` can number."""
_AUTO = (
    "messages, conversations, prompt and completion (or question and answer, query and response, input and "
    "output), instruction and output, chosen and rejected, or text"
)
_EXPECTED = {
    **dict.fromkeys(AUTO, _AUTO),
    "messages": "messages",
    "sharegpt": "conversations",
    "prompt_completion": "prompt (or question, query, input) and completion (or response, answer, output)",
    "alpaca": "instruction and output",
    "prompt_response": "text",
    "preference": "chosen and rejected",
    "verl": "prompt and extra_info.answer",
    "tree": "prompt, a tree of messages with replies",
    "text": "text",
}

_REFUSED = {
    "bad": "{value} says that this answer is not wanted, and it would be trained; drop such rows",
    "only_rejected": "it holds a rejected answer alone, and that would be trained; drop such rows",
    "no_weight": "it says that it is not trained, by its weight or train; drop such rows",
}

_TITLES = {"verl": "verl prompts", "tree": "message trees"}
"""What people are told of rows of a format, where its name alone says little."""


def check_format(format: str) -> None:
    """Raises InputError for a format that there is not."""
    if format not in FORMATS:
        raise InputError(f"there is no format {format!r}; known: {', '.join(FORMATS)}.")


def name_format(row: Mapping[str, Any]) -> str:
    """What ``auto`` takes the row for: one of `FORMATS`, or of the names in `strop.chat.purposes` for a file that is
    not for training; ``unknown`` where it has the columns of none.

    Only the columns are looked at, so a row may still be refused when it is parsed. ``text`` is text without turns,
    which ``auto`` refuses.
    """
    if isinstance(row, Document):
        return "text"
    if (purpose := purpose_of(row)) is not None:
        return purpose.name
    # A table made of several sources has null where a row came from another one, so such columns come second.
    for has in (lambda name: row.get(name) is not None, lambda name: name in row):
        if (pair := _compared(has)) is not None and not isinstance(row[pair[0]], bool):
            return "preference"
        if has("prompt") and is_tree(row["prompt"]):
            return "tree"
        if is_verl(row) and has("prompt"):
            return "verl"
        if (column := _first(has, TURN_NAMES)) is not None:
            return "sharegpt" if _is_sharegpt(row[column]) else "messages"
        if has("prompt") and has("completion"):
            return "prompt_completion"
        if has("instruction") and (has("output") or has("response")):
            return "alpaca"
        if _first(has, PROMPTS) and _first(has, COMPLETIONS):
            return "prompt_completion"
        if has("instruction") and _first(has, COMPLETIONS):
            return "alpaca"
        if has("text"):
            return "prompt_response" if is_prompt_response(row["text"]) else "text"
    return "unknown"


def parse_conversation(row: Mapping[str, Any], place: str, format: str = "auto") -> Conversation:
    """Validate a row of data and bring it into one shape. ``place`` is where it was read, as ``file:line``.

    ``format`` is ``auto``, which goes by the columns (see `name_format`), or another of `Format`: what each of them
    looks like, and what may stand beside it in a row, is in ``docs/data-formats.md``.

    Raises:
        InputError: naming the place, the field and what was expected there; also for a row that says itself that it is
            not to be trained, which `parse_row` takes for `LeftOut`.
    """
    parsed = _conversation(*_opened(row, place, format), format)
    if isinstance(parsed, LeftOut):
        kind, _, column = next(iter(parsed.notes)).partition(":")
        value = str(row[column]).lower() if column else ""
        raise Field(place, column or "").fail(_REFUSED[kind].format(value=value))
    return parsed


def parse_row(row: Mapping[str, Any], place: str, format: str = "auto") -> Conversation | Text | LeftOut:
    """The same; `Text` for ``format: text``: the column ``text``, of which every token is trained; and `LeftOut` for a
    row that says itself that it is not to be trained: that its answer is bad (``label: false``), or weighs nothing."""
    name, seen, at = _opened(row, place, format)
    said = format in ("text", "auto_text") and name == "text"
    if said or (format in AUTO and isinstance(row, Document)):
        return _text(seen, at)
    return _conversation(name, seen, at, format)


def _opened(row: Mapping[str, Any], place: str, format: str) -> tuple[str, Seen, Field]:
    """What the row is taken for, the row, and its place."""
    check_format(format)
    seen = Seen(Field(place).mapping(row))
    return name_format(row) if format in AUTO else format, seen, Field(place, "", Counter())


def _conversation(name: str, seen: Seen, at: Field, format: str) -> Conversation | LeftOut:
    if (bad := _left_out(seen, at, name)) is not None:
        return LeftOut(at.place, "preference" if bad == "only_rejected" else _TITLES.get(name, name), {bad: 1})
    if name == "text":
        mend = "set format: text to train on all of it" if format in AUTO else "so it is no conversation"
        raise at.item("text").fail(f"plain text without '### Prompt' and '### Response' has no turns; {mend}")
    return finished(name, _messages(name, seen, at, exact=format not in AUTO), seen, at)


def finished(name: str, messages: list[Message], seen: Seen, at: Field) -> Conversation | LeftOut:
    """The conversation of these messages of a row, which was taken for ``name``, with all that stands beside them."""
    messages, place = with_system(messages, seen, at), at.place
    if not any(message.role == "assistant" for message in messages):
        mend = "drop the row or add the answer"
        raise Field(place).fail(f"there is no assistant turn, so nothing could be learnt; {mend}")
    if len(messages) > _MOST_MESSAGES:
        raise Field(place).fail(f"{len(messages):,} messages, and at most {_MOST_MESSAGES:,} are taken; cut the row up")
    factor = _row_weight(seen, at)
    if factor == 0:
        return LeftOut(place, _TITLES.get(name, name), {"no_weight": 1})
    if factor != 1:
        messages = [replace(message, weight=message.weight * factor) for message in messages]
    tools, documents, variables = tools_beside(seen, at), read_documents(seen, at), template_variables(seen, at)
    seen.note_unread(at)
    title = _TITLES.get(name, name)
    return Conversation(tuple(messages), tools, place, documents, variables, title, dict(at.notes or {}))


def _text(row: Seen, at: Field) -> Text | LeftOut:
    if "text" not in row:
        raise misfit(row, at.place, _EXPECTED["text"], " for the format text")
    text = at.item("text").text(row["text"])
    if not text.strip():
        raise at.item("text").fail("the text is empty; drop the row")
    factor = _row_weight(row, at)
    row.note_unread(at)
    return Text(text, at.place, factor, dict(at.notes or {})) if factor else LeftOut(at.place, "text", {"no_weight": 1})


def _messages(name: str, row: Seen, at: Field, exact: bool) -> list[Message]:
    """The messages of a row of the format ``name``; ``exact``: somebody said so, so every turn must be of it."""

    def first(names: Iterable[str]) -> str | None:
        return _first(row.has, names) or _first(lambda n: n in row, names)

    def need(found: Found | None) -> Found:
        if not found:
            raise misfit(row, at.place, _EXPECTED[name], f" for the format {name}")
        return found

    if name in ("messages", "sharegpt"):
        order = TURN_NAMES if name == "messages" else (*TURN_NAMES[1:], TURN_NAMES[0])
        column = need(first(order if exact else TURN_NAMES))
        return read_turns(row[column], at.item(column), name if exact else None)
    if name == "prompt_completion":
        prompt, completion = need(first(PROMPTS)), need(first(COMPLETIONS))
        return prompt_completion(row, prompt, completion, at)
    if name == "alpaca":
        need("instruction" in row)
        answer = need(first(("output", "response", *COMPLETIONS)))
        return alpaca(row, answer, at)
    if name == "preference":
        pair = _compared(lambda n: dict.get(row, n) is not None)
        chosen, rejected = need(pair or next((pair for pair in COMPARED if pair[0] in row), None))
        return preference(row, chosen, rejected, at)
    if name == "prompt_response":
        need("text" in row)
        return read_prompt_response(row["text"], at.item("text"))
    if name == "verl":
        need("prompt" in row)
        return verl(row, at)
    if name == "tree":
        need(is_tree(row.get("prompt")))
        return tree(row["prompt"], at.item("prompt"))
    if (purpose := purpose_of(row)) is not None:
        raise Field(at.place).fail(f"this is a file of {purpose.holds}: {purpose.mend}")
    raise misfit(row, at.place, _EXPECTED["auto"], "")


def _left_out(row: Seen, at: Field, name: str) -> str | None:
    """The note of a row that says that it is not to be trained on; None where it does not."""
    rejected = [other for _, other in COMPARED if row.has(other) and not isinstance(dict.get(row, other), bool)]
    if name in ("preference", "prompts", "text", "unknown"):
        kept = [name for name, _ in COMPARED if dict.get(row, name) is not None]
        return "only_rejected" if rejected and not kept and not _first(row.has, TURN_NAMES) else None
    if name not in FORMATS or name == "prompt_response":
        return None
    marks = wanted(row)
    if not all(marks.values()):
        return f"bad:{next(column for column, good in marks.items() if not good)}"
    row.read.update([*marks, *rejected])
    if rejected:  # ms-swift writes the rejected answer beside the whole conversation
        at.note("preference")
    return None


def _row_weight(row: Seen, at: Field) -> float:
    """What the row's own ``weight`` and ``train`` make of it; 0: it is not trained."""
    said = from_words(row)
    if trained(said, at) is False:
        return 0.0
    factor = weight(said, at)
    return 1.0 if factor is None else factor


def _compared(has: Callable[[str], bool]) -> tuple[str, str] | None:
    both = next((pair for pair in COMPARED if has(pair[0]) and has(pair[1])), None)
    return both or next((pair for pair in COMPARED if has(pair[0]) and _first(has, PROMPTS)), None)


def _first(has: Callable[[str], bool], names: Iterable[str]) -> str | None:
    return next((name for name in names if has(name)), None)


def _is_sharegpt(turns: Any) -> bool:
    if isinstance(turns, str):  # JSON text
        return '"from"' in turns[:200] and '"role"' not in turns[:200]
    first = turns[0] if isinstance(turns, list | tuple) and turns else turns
    return isinstance(first, Mapping) and first.get("from") is not None
