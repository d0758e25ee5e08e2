"""What a conversation is, once it is inside: validated, in one shape, with its place in the file."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from strop.chat.field import Field, Seen, is_empty, shown
from strop.chat.marks import TRAIN_NAMES, WEIGHT_NAMES, agreed, trained, weight
from strop.chat.tool_calls import read_calls

_TEXT = ("text", "input_text", "output_text")
_PROGRAM = ("python", "python_output")
_REASONING = ("reasoning", "thinking")
_CALLS = ("tool_call", "function_call", "tool_use")
_EXPECTED = "text, reasoning, tool_call, python or python_output"


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a message's content. ``python_output`` was printed by a program, so it is never trained."""

    kind: str  # "text", "python" or "python_output"
    text: str


class Content(NamedTuple):
    """What a content holds: its text, its parts where one of them is not text, its reasoning and its tool calls."""

    text: str | None
    parts: tuple[Part, ...] = ()
    reasoning: str | None = None
    calls: tuple[dict[str, Any], ...] = ()


def read_parts(raw: Any, at: Field) -> Content:
    """A string, or a list of parts: ``{"type": "text", "text": …}``, or ``value`` instead of ``text``.

    Templates print reasoning first, then text, then calls; parts in another order are noted (``order``).
    Raises InputError for a part of another type (an image, say).
    """
    if raw is None:
        return Content(None)
    if not isinstance(raw, list | tuple):
        return Content(at.text(raw))
    parts, reasoning, order = [], [], []
    calls: list[dict[str, Any]] = []
    for index, item in enumerate(raw):
        here = at.item(index)
        kind = here.mapping(item).get("type")
        if kind in _TEXT or kind in _PROGRAM:
            parts.append(Part(kind if kind in _PROGRAM else "text", _text(item, ("text", "value"), here)))
            order.append(1)
        elif kind in _REASONING:
            reasoning.append(_text(item, ("text", "value", kind), here))
            order.append(0)
        elif kind in _CALLS:
            calls += _call(item, here)
            order.append(2)
        else:
            raise here.item("type").fail(f"expected {_EXPECTED}, found {shown(kind)}")
    if order != sorted(order):
        at.note("order")
    kept = tuple(parts) if any(part.kind != "text" for part in parts) else ()
    text = "".join(part.text for part in parts) if parts or not order else None
    return Content(text, kept, "".join(reasoning) if reasoning else None, tuple(calls))


def _text(item: Any, names: tuple[str, ...], at: Field) -> str:
    name = next((name for name in names if item.get(name) is not None), names[0])
    return at.item(name).text(item.get(name))


def _call(item: Any, at: Field) -> tuple[dict[str, Any], ...]:
    """``{"type": "tool_call", "value": …}`` holds a call (or its JSON text); the others are the call themselves."""
    for name in ("value", "tool_call", "function_call"):
        if item.get(name) is not None:
            return read_calls([at.item(name).json(item[name], as_written=True)], at.item(name))
    arguments = item.get("input" if item["type"] == "tool_use" else "arguments")
    call = {"type": "function", "function": {"name": item.get("name"), "arguments": arguments}}
    return read_calls([call if item.get("id") is None else {"id": item["id"], **call}], at)


ROLES = ("system", "developer", "user", "assistant", "tool")
REASONING_NAMES = ("reasoning_content", "reasoning", "thinking")
_FIELDS = frozenset({"role", "from", "content", "value", "tool_calls", "function_call", "name", "tool_call_id"})
_FIELDS |= {*REASONING_NAMES, *TRAIN_NAMES, *WEIGHT_NAMES}
_SYSTEM_FIELDS = ("tools", "functions")
"""On a system turn; read by `strop.chat.turns.tools_beside`."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``weight`` multiplies the loss of its tokens; ``train=False`` is the same as weight 0.

    Only an assistant's turns are trained, unless the settings say ``train_on: all``.

    ``content`` is the joined text of ``parts`` (which are kept only where one of them is not text).
    ``tool_calls`` are OpenAI's, with ``function.arguments`` as a mapping (`strop.chat.tool_calls.Written` where they
    were given as JSON text, which it keeps).
    """

    role: str
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    name: str | None = None
    tool_call_id: str | None = None
    train: bool = True
    weight: float = 1.0
    parts: tuple[Part, ...] = ()

    @property
    def loss_weight(self) -> float:
        """What the turn's tokens weigh in the loss: 0 for everything that is not a trained assistant turn."""
        return self.weight if self.role == "assistant" and self.train else 0.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in order, the tools (JSON schemas) that they may call, and where they were read (``file:line``).

    ``documents`` are what some templates print for answers that quote from them: objects, mostly of title and text.
    ``template_kwargs`` are variables for the template that the row brings along; they go before the settings'.
    ``format`` and ``notes`` are what people are told that the row was taken for, and what of it is to be told
    (`strop.chat.notes`).
    """

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    place: str = "conversation"
    documents: tuple[dict[str, Any], ...] = ()
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    format: str = field(default="", compare=False)
    notes: dict[str, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that says itself that it is not to be trained; ``notes`` say why."""

    place: str
    format: str = ""
    notes: dict[str, int] = field(default_factory=dict)


def by_turn(conversation: Conversation, turns: Sequence[int]) -> list[Conversation]:
    """For each message of ``turns`` the conversation up to it, with only that message trained."""
    whole = conversation.messages
    return [only_trained(replace(conversation, messages=whole[: turn + 1]), {turn}) for turn in turns]


def only_trained(conversation: Conversation, turns: Collection[int]) -> Conversation:
    """The conversation with no assistant's turn trained but these."""
    messages = list(conversation.messages)
    for index, message in enumerate(messages):
        if message.role == "assistant" and index not in turns:
            messages[index] = replace(message, train=False)
    return replace(conversation, messages=tuple(messages))


def read_message(raw: Any, at: Field) -> Message:
    """Validate one OpenAI-style message; raises `InputError` naming the field."""
    raw = at.mapping(raw)
    role = raw.get("role")
    if role not in ROLES:
        found = "is missing" if role is None else f"is {shown(role)}"
        raise at.item("role").fail(f"the role {found}; it must be one of {', '.join(ROLES)}")
    given = read_parts(raw.get("content"), at.item("content"))
    if given.text is None and role != "assistant":
        raise at.item("content").fail(f"a {role} message needs content, a string or a list of parts")
    reasoning = agreed(raw, at, REASONING_NAMES, lambda value, here: here.text(value))
    calls = read_calls(raw.get("tool_calls"), at.item("tool_calls"))
    for name, beside, inside in (("reasoning_content", reasoning, given.reasoning), ("tool_calls", calls, given.calls)):
        if beside and inside:
            raise at.item(name).fail("stands beside a part of content that says the same; keep one of them")
    reasoning, calls = given.reasoning if reasoning is None else reasoning, calls or given.calls
    if role != "assistant":
        for name, value in (("tool_calls", calls), ("reasoning_content", reasoning)):
            if value:
                raise at.item(name).fail(f"only an assistant message may have it, and this one is a {role} message")
    elif not given.text and not calls and not reasoning:
        mend = "give it content or tool_calls, or drop it"
        raise at.item("content").fail(f"an empty assistant turn teaches nothing; {mend}")
    train, weighs = trained(raw, at), weight(raw, at)
    if role != "assistant" and (train or weighs) and train is not False and weighs != 0:
        at.note("foreign_marks")
    for name, value in raw.items():
        if name not in _FIELDS and not is_empty(value) and not (role == "system" and name in _SYSTEM_FIELDS):
            at.note(f"field:{name}")
    called, call_id = (
        None if raw.get(key) is None else at.item(key).text(raw[key]) for key in ("name", "tool_call_id")
    )
    factor = 1.0 if weighs is None else weighs
    return Message(role, given.text, reasoning, calls, called, call_id, train is not False, factor, given.parts)


def message_row(message: Message) -> dict[str, Any]:
    """The message as rows hold it: what `read_message` makes the same message of."""
    made: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.parts:
        made["content"] = [{"type": part.kind, "text": part.text} for part in message.parts]
    for name in ("reasoning_content", "name", "tool_call_id"):
        if getattr(message, name) is not None:
            made[name] = getattr(message, name)
    if message.tool_calls:
        made["tool_calls"] = list(message.tool_calls)
    if not message.train:
        made["train"] = False
    if message.weight != 1.0:
        made["weight"] = message.weight
    return made


def read_tools(raw: Any, at: Field) -> tuple[dict[str, Any], ...]:
    """A list of JSON schemas (or other objects), or the JSON text of one."""
    raw = at.json(raw) if raw else None
    if not raw:
        return ()
    tools = at.sequence(raw)
    for index, tool in enumerate(tools):
        at.item(index).check_json(at.item(index).mapping(tool))
    return tuple(dict(tool) for tool in tools)


def read_documents(row: Seen, at: Field) -> tuple[dict[str, Any], ...]:
    """A list of objects; anything else in a column of that name is no business of the template's, and left unread."""
    raw = dict.get(row, "documents")
    if not isinstance(raw, list | tuple) or not all(isinstance(document, Mapping) for document in raw):
        return ()
    return read_tools(row["documents"], at.item("documents")) if raw else ()
