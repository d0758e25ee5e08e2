"""What a conversation is, once it is inside: validated, in one shape, with its place in the file."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strop.errors import InputError

ROLES = ("system", "developer", "user", "assistant", "tool")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_REASONING_NAMES = ("reasoning_content", "reasoning", "thinking")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a message's content. ``python_output`` was printed by a program, so it is never trained."""

    kind: str  # "text", "python" or "python_output"
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``weight`` multiplies the loss of an assistant's turn; ``train=False`` is the same as weight 0.

    ``content`` is the joined text of ``parts`` (which are kept only where one of them is not text).
    ``tool_calls`` are OpenAI's, with ``function.arguments`` as a mapping.
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
    """Turns in order, the tools (JSON schemas) that they may call, and where they were read (``file:line``)."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    place: str = "conversation"


@dataclass(frozen=True, slots=True)
class Field:
    """A place inside a row, for messages that say where to look: ``field.item("content")``, ``field.fail("…")``."""

    place: str
    path: str = ""

    def item(self, key: str | int) -> "Field":
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if self.path else key
        return Field(self.place, self.path + step)

    def fail(self, mend: str) -> InputError:
        return InputError(f"{self.place}: field {self.path}: {mend}")

    def text(self, value: Any) -> str:
        if not isinstance(value, str):
            raise self.fail(f"expected a string, found {kind_of(value)}")
        if _LONE_SURROGATE.search(value):
            raise self.fail("the text holds half of a surrogate pair, which cannot be encoded; repair the file")
        return value

    def sequence(self, value: Any) -> list:
        if not isinstance(value, list | tuple):
            raise self.fail(f"expected a list, found {kind_of(value)}")
        return list(value)

    def mapping(self, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.fail(f"expected an object, found {kind_of(value)}")
        return value

    def json(self, value: Any) -> Any:
        """``value`` itself, or what it says where it is JSON text (columnar files cannot hold free-form objects)."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise self.fail(f"expected JSON, but {error.msg} at character {error.pos} of {value[:60]!r}") from error


def kind_of(value: Any) -> str:
    """The type of a JSON value, in words."""
    names = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a string"}
    names |= {list: "a list", tuple: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def read_message(raw: Any, at: Field) -> Message:
    """Validate one OpenAI-style message; raises `InputError` naming the field."""
    raw = at.mapping(raw)
    role = raw.get("role")
    if role not in ROLES:
        shown = "is missing" if role is None else f"is {role!r}"
        raise at.item("role").fail(f"the role {shown}; it must be one of {', '.join(ROLES)}")
    content, parts = _content(raw.get("content"), at.item("content"))
    if content is None and role != "assistant":
        raise at.item("content").fail(f"a {role} message needs content, a string or a list of parts")
    reasoning = next((raw[name] for name in _REASONING_NAMES if raw.get(name) is not None), None)
    calls = _tool_calls(raw.get("tool_calls"), at.item("tool_calls"))
    if role != "assistant":
        for name, value in (("tool_calls", calls), ("reasoning_content", reasoning)):
            if value:
                raise at.item(name).fail(f"only an assistant message may have it, and this one is a {role} message")
    elif not content and not calls and not reasoning:
        raise at.item("content").fail(
            "an empty assistant turn teaches nothing; give it content or tool_calls, or drop it"
        )
    return Message(
        role=role,
        content=content,
        reasoning_content=None if reasoning is None else at.item("reasoning_content").text(reasoning),
        tool_calls=calls,
        name=_optional_text(raw, "name", at),
        tool_call_id=_optional_text(raw, "tool_call_id", at),
        train=_train(raw.get("train"), at.item("train")),
        weight=_weight(raw.get("weight"), at.item("weight")),
        parts=parts,
    )


def read_tools(raw: Any, at: Field) -> tuple[dict[str, Any], ...]:
    """A list of JSON schemas, or the JSON text of one."""
    if raw is None or raw == "":
        return ()
    tools = at.sequence(at.json(raw))
    for index, tool in enumerate(tools):
        _check_texts(at.item(index).mapping(tool), at.item(index))
    return tuple(dict(tool) for tool in tools)


def _optional_text(raw: Mapping[str, Any], name: str, at: Field) -> str | None:
    return None if raw.get(name) is None else at.item(name).text(raw[name])


def _content(raw: Any, at: Field) -> tuple[str | None, tuple[Part, ...]]:
    if raw is None:
        return None, ()
    if not isinstance(raw, list | tuple):
        return at.text(raw), ()
    parts = []
    for index, item in enumerate(raw):
        here = at.item(index)
        kind = here.mapping(item).get("type")
        if kind not in ("text", "python", "python_output"):
            raise here.item("type").fail(f"expected text, python or python_output, found {kind!r}")
        parts.append(Part(kind, here.item("text").text(item.get("text"))))
    kept = tuple(parts) if any(part.kind != "text" for part in parts) else ()
    return "".join(part.text for part in parts), kept


def _tool_calls(raw: Any, at: Field) -> tuple[dict[str, Any], ...]:
    if raw is None:
        return ()
    calls = []
    for index, call in enumerate(at.sequence(at.json(raw))):
        here = at.item(index)
        # {"name", "arguments"} alone is a common short form of {"type": "function", "function": {…}}.
        call = dict(here.mapping(call))
        if "function" not in call:
            call = {"type": "function", "function": call}
        function = dict(here.item("function").mapping(call["function"]))
        here.item("function").item("name").text(function.get("name"))
        where = here.item("function").item("arguments")
        function["arguments"] = dict(where.mapping(where.json(function.get("arguments") or {})))
        _check_texts(function, here.item("function"))
        calls.append({**call, "function": function})
    return tuple(calls)


def _check_texts(value: Any, at: Field) -> None:
    """Refuse lone surrogates anywhere inside a JSON value."""
    if isinstance(value, str):
        at.text(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_texts(key, at)
            _check_texts(item, at.item(str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_texts(item, at.item(index))


def _train(raw: Any, at: Field) -> bool:
    if raw is None:
        return True
    if not isinstance(raw, bool):
        raise at.fail(f"expected true or false, found {kind_of(raw)}")
    return raw


def _weight(raw: Any, at: Field) -> float:
    if raw is None:
        return 1.0
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw) or raw < 0:
        raise at.fail(f"expected a finite number of at least 0, found {raw!r}")
    return float(raw)
