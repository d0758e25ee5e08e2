"""The shapes of row that are understood, and how each becomes a `Conversation`."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from strop.chat.conversation import Conversation, Field, Message, kind_of, printable, read_message, read_tools, shown

_SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "assistant": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
# Blank lines belong to what follows: with \s* before the line's end, many of them would take quadratic time.
_PROMPT_RESPONSE = re.compile(
    r"\s*### ?Prompt:?[^\S\n]*\n(?P<prompt>.*?)\n### ?Response:?[^\S\n]*\n(?P<response>.*)", re.DOTALL
)
_MOST_MESSAGES = 100_000
"""Far more than any conversation has, and what `strop.chat.origin` can number."""


def parse_conversation(row: Mapping[str, Any], place: str) -> Conversation:
    """Validate a row of data and bring it into one shape. ``place`` is where it was read, as ``file:line``.

    Understood, in this order:

    - ``messages``: OpenAI's, each with ``role``, ``content`` (a string, or parts of type text, python, python_output),
      ``tool_calls``, ``reasoning_content``, ``name``, ``tool_call_id``, ``train``, ``weight``; ``tools`` beside them
      (or ``functions`` on the system message);
    - ``conversations``: ShareGPT's ``from``/``value``, or ``role``/``content`` as above;
    - ``prompt`` and ``completion``: two strings (one user turn, one assistant turn) or two lists of messages
      (the prompt's assistant turns are then not trained);
    - ``instruction``, ``input`` (optional), ``output``: Alpaca's; the input follows the instruction after a blank line;
    - ``text`` of the form ``### Prompt … ### Response …``.

    Raises:
        InputError: naming the place, the field and what was expected there.
    """
    at = Field(place)
    at_row = Field(place, "(row)")
    row = at_row.mapping(row)
    if "messages" in row:
        messages = _messages(row["messages"], at.item("messages"))
    elif "conversations" in row:
        messages = _sharegpt(row["conversations"], at.item("conversations"))
    elif "prompt" in row and "completion" in row:
        messages = _prompt_completion(row["prompt"], row["completion"], at)
    elif "instruction" in row and "output" in row:
        messages = _alpaca(row, at)
    elif "text" in row:
        messages = _prompt_response_text(row["text"], at.item("text"))
    else:
        names = sorted(printable(str(name)) for name in row)
        found = ", ".join(names[:20]) + (", …" if len(names) > 20 else "") or "nothing"
        raise at_row.fail(
            "expected messages, conversations, prompt and completion, instruction and output, or text, "
            f"but the row has {found}; rename or map its columns"
        )
    if not any(message.role == "assistant" for message in messages):
        raise at_row.fail("there is no assistant turn, so nothing could be learnt; drop the row or add the answer")
    if len(messages) > _MOST_MESSAGES:
        raise at_row.fail(f"{len(messages):,} messages, and at most {_MOST_MESSAGES:,} are taken; cut the row up")
    return Conversation(tuple(messages), _tools(row, at), place)


def _messages(raw: Any, at: Field) -> list[Message]:
    items = at.sequence(raw)
    if not items:
        raise at.fail("the list is empty; a conversation needs at least one assistant turn")
    return [read_message(item, at.item(index)) for index, item in enumerate(items)]


def _sharegpt(raw: Any, at: Field) -> list[Message]:
    messages = []
    for index, item in enumerate(at.sequence(raw)):
        here = at.item(index)
        item = here.mapping(item)
        if "from" not in item:
            messages.append(read_message(item, here))
            continue
        source, rest = item["from"], {key: value for key, value in item.items() if key not in ("from", "value")}
        if source == "function_call":
            call = here.item("value").json(item.get("value"))
            calls = call if isinstance(call, list) else [call]
            messages.append(read_message({**rest, "role": "assistant", "tool_calls": calls}, here))
        elif isinstance(source, str) and source in _SHAREGPT_ROLES:
            content = here.item("value").text(item.get("value"))
            messages.append(read_message({**rest, "role": _SHAREGPT_ROLES[source], "content": content}, here))
        else:
            known = ", ".join([*_SHAREGPT_ROLES, "function_call"])
            raise here.item("from").fail(f"expected one of {known}, found {shown(source)}")
    if not messages:
        raise at.fail("the list is empty; a conversation needs at least one assistant turn")
    return messages


def _prompt_completion(prompt: Any, completion: Any, at: Field) -> list[Message]:
    if isinstance(prompt, str) and isinstance(completion, str):
        return [
            Message("user", at.item("prompt").text(prompt)),
            read_message({"role": "assistant", "content": completion}, Field(at.place, "completion")),
        ]
    if isinstance(prompt, list | tuple) and isinstance(completion, list | tuple):
        given = _messages(prompt, at.item("prompt"))
        given = [replace(message, train=False) if message.role == "assistant" else message for message in given]
        return given + _messages(completion, at.item("completion"))
    raise at.item("completion").fail(
        "prompt and completion must both be strings or both be lists of messages, "
        f"found {kind_of(prompt)} and {kind_of(completion)}"
    )


def _alpaca(row: Mapping[str, Any], at: Field) -> list[Message]:
    instruction = at.item("instruction").text(row["instruction"])
    extra = "" if row.get("input") is None else at.item("input").text(row["input"])
    system = "" if row.get("system") is None else at.item("system").text(row["system"])
    head = [Message("system", system)] if system else []
    answer = read_message({"role": "assistant", "content": row["output"]}, Field(at.place, "output"))
    return [*head, Message("user", f"{instruction}\n\n{extra}" if extra else instruction), answer]


def _prompt_response_text(raw: Any, at: Field) -> list[Message]:
    match = _PROMPT_RESPONSE.fullmatch(at.text(raw))
    if match is None:
        raise at.fail(
            "expected a line '### Prompt', a question, a line '### Response' and an answer; "
            "plain text has no turns, so train on it with `strop pretrain`"
        )
    answer = read_message({"role": "assistant", "content": match["response"].strip()}, at)
    return [Message("user", match["prompt"].strip()), answer]


def _tools(row: Mapping[str, Any], at: Field) -> tuple[dict[str, Any], ...]:
    if tools := read_tools(row.get("tools"), at.item("tools")):
        return tools
    turns = row.get("messages") or row.get("conversations") or ()
    for index, turn in enumerate(turns):
        if isinstance(turn, Mapping) and turn.get("role") == "system" and turn.get("functions"):
            where = at.item("messages" if row.get("messages") else "conversations").item(index).item("functions")
            return read_tools(turn["functions"], where)
    return ()
