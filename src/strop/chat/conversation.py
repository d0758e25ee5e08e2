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
_DEEPEST = 100
"""Levels of nesting in tool calls and schemas; templates walk through them recursively."""
_DIGITS = 1000
"""Of a whole number; Python writes none of more than 4,300."""
_WEIGHTS = (1e-6, 1e6)
"""Weights are float32 in a batch, and several may be multiplied."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a message's content. ``python_output`` was printed by a program, so it is never trained."""

    kind: str  # "text", "python" or "python_output"
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``weight`` multiplies the loss of its tokens; ``train=False`` is the same as weight 0.

    Only an assistant's turns are trained, unless the settings say ``train_on: all``.

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
    """Turns in order, the tools (JSON schemas) that they may call, and where they were read (``file:line``).

    ``documents`` are what some templates print for answers that quote from them: objects, mostly of title and text.
    """

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    place: str = "conversation"
    documents: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """A place inside a row, for messages that say where to look: ``field.item("content")``, ``field.fail("…")``."""

    place: str
    path: str = ""

    def item(self, key: str | int) -> "Field":
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if self.path else key
        return Field(self.place, self.path + step)

    def fail(self, mend: str) -> InputError:
        return InputError(f"{self.place}: field {printable(self.path)}: {mend}")

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
            raise self.fail(f"expected JSON, but {error.msg} at character {error.pos} of {shown(value)}") from error
        except RecursionError as error:
            raise self.fail(f"the JSON is nested too deep; at most {_DEEPEST} levels are taken") from error
        except ValueError as error:  # Python reads no integer of more than 4,300 digits
            raise self.fail(f"expected JSON with numbers of a usual size: {error}") from error

    def check_json(self, value: Any) -> None:
        """Refuse what is not JSON, text with lone surrogates, and what is nested too deep, anywhere inside ``value``.

        Anything else than JSON would be printed by templates as text without an origin.
        """
        queue = [(value, self, 0)]
        while queue:
            value, at, depth = queue.pop()
            if depth > _DEEPEST:
                raise self.fail(f"nested too deep; at most {_DEEPEST} levels are taken")
            if isinstance(value, str):
                at.text(value)
            elif isinstance(value, Mapping):
                for key, item in value.items():
                    if not isinstance(key, str) or _LONE_SURROGATE.search(key):
                        raise at.fail(f"expected keys that are strings of whole characters, found {shown(key)}")
                    queue.append((item, at.item(key), depth + 1))
            elif isinstance(value, list | tuple):
                queue += ((item, at.item(index), depth + 1) for index, item in enumerate(value))
            elif isinstance(value, int) and abs(value) >= 10**_DIGITS:
                raise at.fail(f"a number of more than {_DIGITS} digits; write it as a string")
            elif isinstance(value, float) and not math.isfinite(value):
                raise at.fail(f"JSON has no number {value}; leave the field out, or write null")
            elif value is not None and not isinstance(value, bool | int | float):
                raise at.fail(f"expected a JSON value, found {kind_of(value)}")


def kind_of(value: Any) -> str:
    """The type of a JSON value, in words."""
    names = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a string"}
    names |= {list: "a list", tuple: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    """A value as messages quote it: printable, on one line, and short however long it is."""
    if isinstance(value, str | bytes):
        return repr(value[:60])
    small = isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**12)
    return repr(value) if small or value is None else kind_of(value)


def printable(name: str) -> str:
    """A name out of the data, for a message: as it is where it can be printed on one line, quoted where not."""
    name = name if len(name) <= 200 else f"{name[:100]}…{name[-100:]}"
    return name if name.isprintable() else repr(name)


def read_message(raw: Any, at: Field) -> Message:
    """Validate one OpenAI-style message; raises `InputError` naming the field."""
    raw = at.mapping(raw)
    role = raw.get("role")
    if role not in ROLES:
        found = "is missing" if role is None else f"is {shown(role)}"
        raise at.item("role").fail(f"the role {found}; it must be one of {', '.join(ROLES)}")
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
    """A list of JSON schemas (or other objects), or the JSON text of one."""
    if raw is None or raw == "":
        return ()
    tools = at.sequence(at.json(raw))
    for index, tool in enumerate(tools):
        at.item(index).check_json(at.item(index).mapping(tool))
    return tuple(dict(tool) for tool in tools)


def read_documents(raw: Any, at: Field) -> tuple[dict[str, Any], ...]:
    """A list of objects; anything else in a column of that name is no business of the template's."""
    if not isinstance(raw, list | tuple) or not all(isinstance(document, Mapping) for document in raw):
        return ()
    return read_tools(raw, at)


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
            raise here.item("type").fail(f"expected text, python or python_output, found {shown(kind)}")
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
        given = function.get("arguments")
        function["arguments"] = {} if given is None or given == "" else dict(where.mapping(where.json(given)))
        calls.append({**call, "function": function})
        here.check_json(calls[-1])
    return tuple(calls)


def _train(raw: Any, at: Field) -> bool:
    if raw is None:
        return True
    if not isinstance(raw, bool):
        raise at.fail(f"expected true or false, found {kind_of(raw)}")
    return raw


def _weight(raw: Any, at: Field) -> float:
    if raw is None:
        return 1.0
    least, most = _WEIGHTS
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not (raw == 0 or least <= raw <= most):
        raise at.fail(f"expected a finite number of at least 0 (0, or from {least:g} to {most:g}), found {shown(raw)}")
    return float(raw)
