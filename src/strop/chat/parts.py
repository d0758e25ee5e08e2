"""A message's content as a list of typed parts: OpenAI's, nanochat's, LLaMA-Factory's and Anthropic's."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from strop.chat.field import Field, shown
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
    parts, reasoning, calls, order = [], [], [], []
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
    call = {"type": "function", "function": {"name": item.get("name"), "arguments": item.get("input")}}
    if item["type"] != "tool_use":
        call["function"]["arguments"] = item.get("arguments")
    return read_calls([call if item.get("id") is None else {"id": item["id"], **call}], at)
