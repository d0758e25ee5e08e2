"""The shape that a template wants messages in, found by trying.

Templates agree on ``role`` and ``content``, but not on three things: whether content is a text or a list of parts,
whether the arguments of a tool call are an object or its JSON text, and what stands for the content of a turn that has
none. What one template needs, another refuses or prints as nothing. So a template is given short conversations until
it prints what is in them; the usual shape (text, object, no content) is tried first.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from strop.chat.numbers import dumps
from strop.chat.template import TemplateFailure
from strop.chat.tool_calls import Written
from strop.chat.traced import smear

_WORD = "strop-probe"
_WRITTEN = f'{{"word":  "{_WORD}" }}'  # as no encoder writes it
_CALL_ID = "strop1234"  # some templates insist on nine letters and digits

Render = Callable[[list[dict]], str]


class Shape(NamedTuple):
    """``content``: a string, or ``[{"type": "text", "text": …}]``. ``arguments``: an object, or its JSON text.
    ``missing``: what the content of a turn without any is (transformers never shows a template null). ``written``:
    whether arguments that were given as JSON text are handed over as that text, which the template prints as it is."""

    content: Literal["text", "parts"] = "text"
    arguments: Literal["object", "text"] = "object"
    missing: Literal["absent", "empty"] = "absent"
    written: bool = False


def content_shape(render: Render) -> Shape:
    """Text, unless the template prints nothing of that and does print parts."""
    messages = [{"role": "user", "content": _WORD}, {"role": "assistant", "content": _WORD}]
    tried = (Shape(content) for content in ("text", "parts"))
    return next((shape for shape in tried if _prints(render, messages, shape)), Shape())


def call_shape(render: Render, content: Shape) -> Shape:
    """The first shape in which the template prints a tool call's arguments; ``content``'s where there is none."""
    found = next((shape for shape in call_shapes(content) if prints_call(render, shape)), content)
    written = found._replace(written=True)
    return written if _prints(render, _call(Written({"word": _WORD}, _WRITTEN)), written, _WRITTEN) else found


def call_shapes(content: Shape) -> Iterator[Shape]:
    """The shapes to try for tool calls, the usual one first."""
    for missing in ("absent", "empty"):
        for arguments in ("object", "text"):
            yield content._replace(arguments=arguments, missing=missing)


def prints_call(render: Render, shape: Shape) -> bool:
    """Whether the template prints the arguments of a tool call in that shape."""
    return _prints(render, _call({"word": _WORD}), shape)


def prints_reasoning(render: Render, shape: Shape) -> bool:
    """Whether the template prints the reasoning of the last answer."""
    answer = {"role": "assistant", "content": "-", "reasoning_content": _WORD, "thinking": _WORD}
    return _prints(render, [{"role": "user", "content": "-"}, answer], shape)


def shaped(messages: Sequence[dict], shape: Shape) -> list[dict]:
    """The messages (plain or traced) in that shape; origins are kept."""
    return list(messages) if shape == Shape() else [_shaped(message, shape) for message in messages]


def _call(arguments: dict[str, str]) -> list[dict]:
    call = {"id": _CALL_ID, "type": "function", "function": {"name": "probe", "arguments": arguments}}
    return [{"role": "user", "content": "-"}, {"role": "assistant", "tool_calls": [call]}]


def _prints(render: Render, messages: list[dict], shape: Shape, text: str = _WORD) -> bool:
    try:
        return text in render(shaped(messages, shape))
    except TemplateFailure:
        return False


def _shaped(message: dict, shape: Shape) -> dict:
    message = dict(message)
    if "content" in message and shape.content == "parts":
        message["content"] = [{"type": "text", "text": message["content"]}]
    elif "content" not in message and shape.missing == "empty":
        message["content"] = ""
    if "tool_calls" in message and (shape.written or shape.arguments == "text"):
        message["tool_calls"] = [_text_arguments(call, shape) for call in message["tool_calls"]]
    return message


def _text_arguments(call: dict[str, Any], shape: Shape) -> dict[str, Any]:
    arguments = call["function"]["arguments"]
    if shape.written and isinstance(arguments, Written):
        text = arguments.text
    elif shape.arguments == "text":
        text = smear(dumps(arguments, ensure_ascii=False), arguments)
    else:
        return call
    return {**call, "function": {**call["function"], "arguments": text}}
