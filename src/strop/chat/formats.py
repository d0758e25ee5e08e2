"""The shapes of row that are understood, and how each becomes a `Conversation`."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from strop.chat.conversation import Conversation, Field, Message, printable, read_documents
from strop.chat.pairs import COMPLETIONS, PROMPTS, alpaca, is_prompt_response, preference, prompt_completion
from strop.chat.pairs import prompt_response as read_prompt_response
from strop.chat.text import Text
from strop.chat.turns import read_turns, tools_beside, with_system
from strop.errors import InputError

Format = Literal["auto", "messages", "sharegpt", "prompt_completion", "alpaca", "prompt_response", "preference", "text"]
FORMATS: tuple[str, ...] = get_args(Format)
_MOST_MESSAGES = 100_000
"""Far more than any conversation has, and what `strop.chat.origin` can number."""
_TURNS = ("messages", "conversations", "conversation")
_EXPECTED = {
    "auto": "messages, conversations, prompt and completion (or question and answer, query and response, input and "
    "output), instruction and output, chosen and rejected, or text",
    "messages": "messages",
    "sharegpt": "conversations",
    "prompt_completion": "prompt (or question, query, input) and completion (or response, answer, output)",
    "alpaca": "instruction and output",
    "prompt_response": "text",
    "preference": "chosen and rejected",
    "text": "text",
}


def check_format(format: str) -> None:
    """Raises InputError for a format that there is not."""
    if format not in FORMATS:
        raise InputError(f"there is no format {format!r}; known: {', '.join(FORMATS)}.")


def name_format(row: Mapping[str, Any]) -> str:
    """What ``auto`` takes the row for, one of `FORMATS`; ``unknown`` where it has the columns of none.

    Only the columns are looked at, so a row may still be refused when it is parsed. ``text`` is text without turns,
    which ``auto`` refuses.
    """
    # A table made of several sources has null where a row came from another one, so such columns come second.
    for has in (lambda name: row.get(name) is not None, lambda name: name in row):
        if has("chosen") and has("rejected"):
            return "preference"
        if (column := _first(has, _TURNS)) is not None:
            return "sharegpt" if _is_sharegpt(row[column]) else "messages"
        if has("prompt") and has("completion"):
            return "prompt_completion"
        if has("instruction") and (has("output") or has("response")):
            return "alpaca"
        if _first(has, PROMPTS) and _first(has, COMPLETIONS):
            return "prompt_completion"
        if has("text"):
            return "prompt_response" if is_prompt_response(row["text"]) else "text"
    return "unknown"


def parse_conversation(row: Mapping[str, Any], place: str, format: str = "auto") -> Conversation:
    """Validate a row of data and bring it into one shape. ``place`` is where it was read, as ``file:line``.

    ``format`` is ``auto``, which goes by the columns (see `name_format`), or one of

    - ``messages``: a list of OpenAI's, each with ``role``, ``content`` (a string, or parts of type text, python,
      python_output), ``tool_calls`` (or ``function_call``), ``reasoning_content``, ``name``, ``tool_call_id``,
      ``train``, ``weight``;
    - ``sharegpt``: ``conversations`` of ``from`` and ``value``;
    - ``prompt_completion``: two strings (one user turn, one assistant turn), or messages for either (the prompt's
      assistant turns are then not trained); ``question`` and ``answer``, ``query`` and ``response``, ``input`` and
      ``output`` are the same by other names;
    - ``alpaca``: ``instruction``, ``input`` (optional, follows it after a blank line), ``output``, ``history``;
    - ``prompt_response``: ``text`` of the form ``### Prompt … ### Response …``;
    - ``preference``: ``chosen`` and ``rejected`` with or without ``prompt``: the chosen one, trained where they part.

    Beside any of them: ``tools`` (or ``functions``), a list or its JSON text, ``documents``, a list of objects, and
    ``system``, the system prompt.

    Raises:
        InputError: naming the place, the field and what was expected there.
    """
    check_format(format)
    at, at_row = Field(place), Field(place, "(row)")
    row = at_row.mapping(row)
    name = name_format(row) if format == "auto" else format
    if name == "text":
        mend = "set format: text to train on all of it" if format == "auto" else "so it is no conversation"
        raise at.item("text").fail(f"plain text without '### Prompt' and '### Response' has no turns; {mend}")
    messages = with_system(_messages(name, row, at, exact=format != "auto"), row, at)
    if not any(message.role == "assistant" for message in messages):
        raise at_row.fail("there is no assistant turn, so nothing could be learnt; drop the row or add the answer")
    if len(messages) > _MOST_MESSAGES:
        raise at_row.fail(f"{len(messages):,} messages, and at most {_MOST_MESSAGES:,} are taken; cut the row up")
    documents = read_documents(row.get("documents"), at.item("documents"))
    return Conversation(tuple(messages), tools_beside(row, at), place, documents)


def parse_row(row: Mapping[str, Any], place: str, format: str = "auto") -> Conversation | Text:
    """The same, and `Text` for ``format: text``: the column ``text``, of which every token is trained."""
    if format != "text":
        return parse_conversation(row, place, format)
    at = Field(place)
    row = Field(place, "(row)").mapping(row)
    _need(row, place, "text", "text" in row)
    text = at.item("text").text(row["text"])
    if not text.strip():
        raise at.item("text").fail("the text is empty; drop the row")
    return Text(text, place)


def _messages(name: str, row: Mapping[str, Any], at: Field, exact: bool) -> list[Message]:
    """The messages of a row of the format ``name``; ``exact``: somebody said so, so every turn must be of it."""

    def first(names: tuple[str, ...]) -> str | None:
        return _first(lambda n: row.get(n) is not None, names) or _first(lambda n: n in row, names)

    def need(found: Any) -> None:
        _need(row, at.place, name, bool(found))

    if name in ("messages", "sharegpt"):
        order = _TURNS if name == "messages" else (*_TURNS[1:], _TURNS[0])
        column = first(order if exact else _TURNS)
        need(column)
        return read_turns(row[column], at.item(column), name if exact else None)
    if name == "prompt_completion":
        prompt, completion = first(PROMPTS), first(COMPLETIONS)
        need(prompt and completion)
        return prompt_completion(row, at.item(prompt), at.item(completion))
    if name == "alpaca":
        need("instruction" in row and ("output" in row or "response" in row))
        return alpaca(row, at)
    if name == "preference":
        need("chosen" in row)
        return preference(row, at)
    if name == "prompt_response":
        need("text" in row)
        return read_prompt_response(row["text"], at.item("text"))
    raise _misfit(row, at.place, "auto")


def _need(row: Mapping[str, Any], place: str, name: str, found: bool) -> None:
    if not found:
        raise _misfit(row, place, name)


def _misfit(row: Mapping[str, Any], place: str, name: str) -> InputError:
    names = sorted(printable(str(column)) for column in row)
    columns = ", ".join(names[:20]) + (", …" if len(names) > 20 else "") or "nothing"
    wanted = "" if name == "auto" else f" for the format {name}"
    return Field(place, "(row)").fail(
        f"expected {_EXPECTED[name]}{wanted}, but the row has {columns}; rename or map its columns"
    )


def _first(has: Callable[[str], bool], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if has(name)), None)


def _is_sharegpt(turns: Any) -> bool:
    if isinstance(turns, str):  # JSON text
        return '"from"' in turns[:200] and '"role"' not in turns[:200]
    first = turns[0] if isinstance(turns, list | tuple) and turns else turns
    return isinstance(first, Mapping) and first.get("from") is not None
