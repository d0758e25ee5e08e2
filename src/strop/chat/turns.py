"""Lists of turns, as OpenAI and ShareGPT write them, and trees of them, to messages, and what stands beside them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from strop.chat.conversation import Message, read_message, read_tools
from strop.chat.field import Field, Seen, is_empty, shown
from strop.chat.marks import from_word

_ROLE_NAMES = {
    "system": "system",
    "user": "human user",
    "assistant": "gpt chatgpt bing bard bot model assistant",
    "tool": "tool tool_response observation function_response",
}
SHAREGPT_ROLES = {name: role for role, names in _ROLE_NAMES.items() for name in names.split()}
TOOL_NAMES = ("tools", "functions", "tool_defs", "tool_definitions", "available_tools")
TURN_NAMES = ("messages", "conversations", "conversation")
SYSTEM_NAMES = ("system", "system_prompt", "system_message")
_TURNS_TEXT = re.compile(r'\s*\[\s*\{\s*"(role|from|content|value)"\s*:')

VARIABLE_NAMES = ("chat_template_kwargs", "template_kwargs")
_FLAGS = ("enable_thinking", "thinking")
# What the rest of the row says, and what is not about the text.
_TAKEN = (
    *("messages", "conversation", "tools", "documents", "chat_template", "tokenize", "return_dict"),
    *("add_generation_prompt", "continue_final_message", "return_tensors", "padding", "truncation"),
)


def turn_list(raw: Any, at: Field) -> list:
    """The turns as a list that is not empty.

    They may also be its JSON text (as tables hold it), or an object of equally long lists (how older Arrow files of the
    hub hold a list of objects).
    """
    if isinstance(raw, str) and raw.lstrip()[:1] in ("[", "{"):
        raw = at.json(raw)
    if isinstance(raw, Mapping) and raw and all(isinstance(column, list | tuple) for column in raw.values()):
        if len({len(column) for column in raw.values()}) > 1:
            raise at.fail("expected a list of turns, found an object of lists that differ in length")
        columns = zip(*raw.values(), strict=True)
        raw = [{k: v for k, v in zip(raw, turn, strict=True) if v is not None} for turn in columns]
    turns = at.sequence(raw)
    if not turns:
        raise at.fail("the list is empty; a conversation needs at least one assistant turn")
    return turns


def read_turns(raw: Any, at: Field, style: str | None = None) -> list[Message]:
    """Messages of a list whose turns have ``role`` and ``content`` or ``from`` and ``value``.

    ``style``: ``messages`` or ``sharegpt`` where all must be of that one kind; otherwise each turn says it itself.
    """
    messages = []
    for index, turn in enumerate(turn_list(raw, at)):
        here = at.item(index)
        turn = here.mapping(turn)
        sharegpt = turn.get("from") is not None if style is None else style == "sharegpt"
        messages.append(_sharegpt(turn, here) if sharegpt else _openai(turn, here))
    return messages


def tools_beside(row: Mapping[str, Any], at: Field) -> tuple[dict[str, Any], ...]:
    """The tools of a row: ``tools`` or another of its names, the older ``functions``, or either on the system turn.

    Of several, the first that is not empty counts, and the others are left unread.
    """
    for name in (name for name in TOOL_NAMES if name in row):
        if tools := _schemas(row[name], at.item(name)):
            return tools
    for column in (name for name in TURN_NAMES if isinstance(row.get(name), list | tuple)):
        for index, turn in enumerate(row[column]):
            if isinstance(turn, Mapping) and turn.get("role") == "system":
                for name in ("tools", "functions"):
                    if tools := _schemas(turn.get(name), at.item(column).item(index).item(name)):
                        return tools
    return ()


def with_system(messages: list[Message], row: Mapping[str, Any], at: Field) -> list[Message]:
    """The messages after the system prompt that a column of the row holds, unless they begin with the same one."""
    column = next((name for name in SYSTEM_NAMES if name in row and not is_empty(row[name])), None)
    if column is None:
        return messages
    text = at.item(column).text(row[column])
    if messages[0].role in ("system", "developer"):
        if messages[0].content != text:
            raise at.item(column).fail("differs from the system message that the conversation begins with; drop one")
        return messages
    return [Message("system", text), *messages]


def template_variables(row: Seen, at: Field) -> dict[str, Any]:
    """The row's own variables; the settings' ``template_kwargs`` count where it says nothing. Raises InputError."""
    found: dict[str, Any] = {}
    for name in (name for name in VARIABLE_NAMES if row.has(name)):
        here = at.item(name)
        given = here.mapping(here.json(row[name]))
        here.check_json(given)
        for variable, value in given.items():
            if variable in _TAKEN:
                raise here.item(variable).fail("is not the row's to say; drop it")
            if value is not None:  # tables have null where another row has a value
                found[variable] = value
    for name in _FLAGS:
        flag = dict.get(row, name)
        flag = from_word(flag) if name == "enable_thinking" else flag  # `thinking` may be the reasoning itself
        if isinstance(flag, bool):
            row.read.add(name)
            found.setdefault(name, flag)
    if row.has("reasoning_effort"):
        found.setdefault("reasoning_effort", at.item("reasoning_effort").text(row["reasoning_effort"]))
    return found


def looks_like_turns(raw: Any) -> bool:
    """Whether a text is the JSON of a list of turns, as files hold it that know text only."""
    return isinstance(raw, str) and _TURNS_TEXT.match(raw) is not None


def given(messages: Sequence[Message]) -> list[Message]:
    """The messages as a prompt: their assistant turns are there to be read, not trained."""
    return [replace(message, train=False) if message.role == "assistant" else message for message in messages]


def _sharegpt(turn: Mapping[str, Any], at: Field) -> Message:
    source, rest = turn.get("from"), {key: value for key, value in turn.items() if key not in ("from", "value")}
    if source == "function_call":
        call = at.item("value").json(turn.get("value"), as_written=True)
        return read_message({**rest, "role": "assistant", "tool_calls": call if isinstance(call, list) else [call]}, at)
    if not isinstance(source, str) or source not in SHAREGPT_ROLES:
        raise at.item("from").fail(f"expected one of {', '.join(SHAREGPT_ROLES)}, function_call; found {shown(source)}")
    content = at.item("value").text(turn.get("value"))
    return read_message({**rest, "role": SHAREGPT_ROLES[source], "content": content}, at)


def _openai(turn: Mapping[str, Any], at: Field) -> Message:
    """A message in today's form: without the names of the older function calling, and without null fields."""
    turn = {key: value for key, value in turn.items() if value is not None}
    call = turn.pop("function_call", None)
    if call is not None:
        if turn.get("tool_calls"):
            raise at.item("function_call").fail("stands beside tool_calls; keep one of them")
        turn["tool_calls"] = [{"type": "function", "function": at.item("function_call").json(call, as_written=True)}]
    if turn.get("role") == "function":  # the older name of a tool's result
        turn["role"] = "tool"
    if turn.get("tool_calls"):
        calls = _parsed(turn["tool_calls"], at.item("tool_calls"), as_written=True)
        turn["tool_calls"] = [_without_nulls(call) for call in calls] if isinstance(calls, list) else calls
    return read_message(turn, at)


def _parsed(raw: Any, at: Field, as_written: bool = False) -> Any:
    """What JSON text says, of all of a list or of each item (a column of tables can hold strings only)."""
    raw = at.json(raw, as_written) if raw else raw
    if not isinstance(raw, list | tuple):
        return raw
    return [at.item(index).json(item, as_written) for index, item in enumerate(raw)]


def _without_nulls(call: Any) -> Any:
    """A tool call without null fields (``id`` mostly); what its arguments hold is the author's own."""
    if not isinstance(call, Mapping):
        return call
    kept = {key: value for key, value in call.items() if value is not None}
    if isinstance(kept.get("function"), Mapping):
        kept["function"] = {key: value for key, value in kept["function"].items() if value is not None}
    return kept


def _schemas(raw: Any, at: Field) -> tuple[dict[str, Any], ...]:
    """Tools; a bare schema of the older ``functions`` goes into ``{"type": "function", "function": …}``."""
    schemas = read_tools(_parsed(raw, at), at)
    if not at.path.endswith("functions"):
        return schemas
    return tuple(
        schema if "function" in schema or "type" in schema else {"type": "function", "function": schema}
        for schema in schemas
    )


_ROLES = {"prompter": "user", "assistant": "assistant"}
_DEEPEST = 500


def tree(raw: Any, at: Field) -> list[Message]:
    """The path that takes the best-ranked reply everywhere, up to its last answer.

    Of an answer's replies, which are not ranked, it takes the first that was answered. Deleted messages, and those that
    reviewers turned down, are never on it. The messages beside it are noted (``branches``).
    """
    path: list[tuple[Mapping[str, Any], Field]] = []
    here: Mapping[str, Any] | None = at.mapping(raw)
    where = at
    while here is not None and len(path) < _DEEPEST:
        path.append((here, where))
        index = _best(here.get("replies") or (), where.item("replies"))
        where = where if index is None else where.item("replies").item(index)
        here = None if index is None else here["replies"][index]
    while len(path) > 1 and path[-1][0].get("role") == "prompter":
        path.pop()
    messages = [_message(node, where) for node, where in path]
    if left := _size(raw) - len(messages):
        at.note("branches", left)
    return messages


def is_tree(prompt: Any) -> bool:
    return isinstance(prompt, Mapping) and "replies" in prompt and "text" in prompt


def is_tree_message(row: Mapping[str, Any]) -> bool:
    """Whether the row is one message of a tree, as flat files hold them."""
    return all(name in row for name in ("message_id", "parent_id", "text", "role"))


def _best(replies: Any, at: Field) -> int | None:
    usable = [
        (index, reply)
        for index, reply in enumerate(at.sequence(replies))
        if not at.item(index).mapping(reply).get("deleted") and reply.get("review_result") is not False
    ]

    # Ranks count from 0, the best; replies that nobody ranked come after the ranked, the answered ones first.
    def order(one: tuple[int, Mapping[str, Any]]) -> tuple:
        rank = one[1].get("rank")
        ranked = isinstance(rank, int | float) and rank == rank  # tables write a missing one as NaN
        return not ranked, rank if ranked else 0, not one[1].get("replies"), one[0]

    return min(usable, key=order, default=(None, None))[0]


def _message(node: Mapping[str, Any], at: Field) -> Message:
    role = node.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise at.item("role").fail(f"expected prompter or assistant, found {shown(role)}")
    return read_message({"role": _ROLES[role], "content": at.item("text").text(node.get("text"))}, at)


def _size(raw: Mapping[str, Any]) -> int:
    """How many messages the tree has; what stands for one beside the path was not looked at, and may be none."""
    count, queue = 0, [raw]
    while queue:
        replies = queue.pop().get("replies")
        count += 1
        queue += [one for one in replies if isinstance(one, Mapping)] if isinstance(replies, list | tuple) else ()
    return count
