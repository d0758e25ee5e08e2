"""A generated answer to a message: the inverse of what the chat template prints.

The notation is learnt from the template (`strop.chat.syntax`). Of several readings of a text it is the one of which the
template makes that text again. Text is never lost: what cannot be read stays content, and is said.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from strop.chat.codec import Codec, render
from strop.chat.conversation import Message, read_message, read_tools
from strop.chat.field import Field, shown
from strop.chat.mask import turn_span
from strop.chat.rendering import TemplateInputs, plain_messages, traced_inputs, traced_messages
from strop.chat.syntax import PROBE, FieldLayout, Syntax, syntax_of
from strop.chat.template import TemplateFailure
from strop.chat.thoughts import BLOCKS, closes, opens, read_reply
from strop.chat.traced import plain
from strop.common.errors import InputError

TAIL = 64
"""Characters at the end of a prompt that tell whether it opens the reasoning."""

Given = Sequence[Message | Mapping[str, Any]]
Objects = Sequence[Mapping] | None
Variables = Mapping[str, Any] | None


def typed(
    messages: Given, tools: Objects, documents: Objects, template_kwargs: Variables
) -> tuple[list[Message], TemplateInputs]:
    """What a caller gives, validated. Raises InputError."""
    read = [
        message if isinstance(message, Message) else read_message(message, Field("prompt", f"messages[{index}]"))
        for index, message in enumerate(messages)
    ]
    read_as = (
        list(read_tools(tools, Field("prompt", "tools"))) or None,
        list(read_tools(documents, Field("prompt", "documents"))) or None,
    )
    return read, TemplateInputs(*read_as, dict(template_kwargs or {}))


def prompt_text(codec: Codec, messages: list[Message], inputs: TemplateInputs) -> str:
    """The prompt, `Traced`. Raises InputError where the template refuses the messages.

    An answer that is given back as it was generated is read where it has to be: where the prompt had opened the
    reasoning that its content goes on with, or the template takes no such content.
    """
    messages = [_read_back(codec, message, messages[:index], inputs) for index, message in enumerate(messages)]
    apart = [read_reply(m.content or "") if _is_raw(m) else m for m in messages]

    def rendered(read: list[Message]) -> str:
        return codec.renderer.render(traced_messages(read, plain_messages(read)), traced_inputs(inputs), True)

    if apart != messages:
        with suppress(TemplateFailure):
            return rendered(messages)
    try:
        return rendered(apart)
    except TemplateFailure as error:
        raise InputError(f"prompt: the chat template refused these messages: {error}") from error


def _read_back(codec: Codec, message: Message, before: list[Message], inputs: TemplateInputs) -> Message:
    if not _is_raw(message):
        return message
    try:
        tail = plain(codec.renderer.render(plain_messages(before), inputs, True))[-TAIL:]
    except TemplateFailure:
        return message
    return read_reply(message.content or "", tail) if any(opens(tail, *marks) for marks in BLOCKS) else message


def _is_raw(message: Message) -> bool:
    """Whether the message may be an answer as it was generated, its notation in its content."""
    fields = (message.reasoning_content, message.tool_calls, message.parts)
    return message.role == "assistant" and not any(fields) and closes(message.content or "")


UNFINISHED = "no stop token ends the answer, so it may be cut off"


class Parsed(NamedTuple):
    """The message, with ``content`` "" where there is none, and what is to be told of it: a tool call that cannot be
    read and is kept as text, no stop token."""

    message: Message
    notes: tuple[str, ...] = ()


def parse_answer(
    codec: Codec,
    answer: str | Sequence[int],
    before: Sequence[Message] = (PROBE,),
    inputs: TemplateInputs | None = None,
    finished: bool | None = None,
) -> Parsed:
    """The assistant's message that was generated after the prompt of ``before``.

    Args:
        answer: token ids as sampled, or text that was decoded with its control tokens (``skip_special_tokens=False``):
            they are the notation.
        before: the messages that it answers. They decide what the prompt had opened; most templates do without.
        inputs: tools, documents and variables of the prompt. Where a template prints texts and numbers alike, the
            tools' schemas say which it is.
        finished: whether a stop token came, where the answer was handed over without it.

    Raises:
        InputError: when there is no template, or it refuses ``before``.
    """
    inputs = inputs or TemplateInputs()
    text, stopped = _without_stop(codec, answer)
    finished = stopped if finished is None else finished
    prompt = plain(prompt_text(codec, list(before), inputs))
    syntax = syntax_of(codec, inputs)
    learnt = sorted(_readings(syntax, text, prompt, inputs, finished), key=lambda one: -len(one.tool_calls))
    first = read_reply(text, prompt[-TAIL:])
    again = (one for one in [*learnt, first] if _prints(codec, one, text, prompt, before, inputs))
    called = next((one for one in learnt if one.tool_calls), first)
    message = next(again, called)
    if called.tool_calls and not message.tool_calls and _marked(syntax, message):
        message = called  # a call that is spelled otherwise than the template does is still one
    return Parsed(message, tuple(_notes(syntax, message, finished)))


def _without_stop(codec: Codec, answer: str | Sequence[int]) -> tuple[str, bool]:
    """The text without the stop token at its end, and whether there was one."""
    if not isinstance(answer, str):
        ids = list(answer)
        stopped = bool(ids) and ids[-1] in codec.stop_ids
        ids = ids[:-1] if stopped else ids
        return codec.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False), stopped
    stops = (codec.tokenizer.convert_ids_to_tokens(index) for index in codec.stop_ids)
    stop = max((stop for stop in stops if stop and answer.endswith(stop)), key=len, default="")
    return answer.removesuffix(stop), bool(stop)


def _readings(syntax: Syntax, text: str, prompt: str, inputs: TemplateInputs, finished: bool) -> Iterator[Message]:
    """What the text is in each layout that it fits."""
    strings = _string_parameters(inputs.tools or ())
    for layout in syntax.layouts:
        for opening in layout.openings(prompt):
            if text.startswith(opening):
                found = _fields(syntax, layout, 0, text, len(opening), strings, finished)
                if found is not None:
                    content, reasoning = found.get("content", ""), found.get("reasoning")
                    yield Message("assistant", content, reasoning, found.get("tool_calls", ()))
                    break


def _fields(
    syntax: Syntax, layout: FieldLayout, number: int, text: str, at: int, strings: set, finished: bool
) -> dict[str, Any] | None:
    """The fields from the given one on, of which the first begins at ``at``; None where the text does not fit."""
    if number == len(layout.fields):
        return {} if at == len(text) else None
    field, literal, last = layout.fields[number], layout.literals[number + 1], number + 1 == len(layout.fields)
    if field == "calls":
        read = syntax.calls.read(text, at, literal, strings) if syntax.calls else None
        if read is None:
            return None
        calls, end = read
        literal = literal.replace("\0", calls[-1]["function"]["name"])
        rest = _fields(syntax, layout, number + 1, text, end + len(literal), strings, finished)
        return None if rest is None else {"tool_calls": tuple(calls), **rest}
    end = len(text) - len(literal) if last and text.endswith(literal) else text.find(literal, at) if literal else at
    while not last and at <= end:
        rest = _fields(syntax, layout, number + 1, text, end + len(literal), strings, finished)
        if rest is not None:
            return {field: text[at:end], **rest}
        end = text.find(literal, end + 1)
    if last and at <= end and end + len(literal) == len(text):
        return {field: text[at:end]}
    # Cut off in the middle of a field: what follows is not there yet.
    return None if finished or "calls" in layout.fields else {field: text[at:]}


def _prints(
    codec: Codec, reading: Message, text: str, prompt: str, before: Sequence[Message], inputs: TemplateInputs
) -> bool:
    """Whether the template makes of the message the text that was generated."""
    try:
        rendered = render(codec, inputs.conversation((*before, reading), "prompt"))
        if rendered.text.startswith(prompt + text):
            return True
        if rendered.text.startswith(prompt):
            return False
        # The turn does not go on from its prompt: it is what training takes it for.
        span = turn_span(codec, rendered, len(before), 1.0)
    except (TemplateFailure, InputError):
        return False
    return span.first < span.last and rendered.text.startswith(text, span.start)


def _notes(syntax: Syntax, message: Message, finished: bool) -> Iterator[str]:
    if (call := _marked(syntax, message)) is not None:
        yield f"a tool call that cannot be read is kept as text: {shown(call)}"
    if syntax.why and not message.tool_calls:
        yield f"tool calls are kept as text: {syntax.why}"
    if not finished:
        yield UNFINISHED


def _marked(syntax: Syntax, message: Message) -> str | None:
    """The content from the first mark of a call on; None where there is none."""
    content = message.content or ""
    marks = syntax.calls.marks if syntax.calls else ()
    at = min((content.find(mark) for mark in marks if mark in content), default=-1)
    return content[at:] if at >= 0 else None


def _string_parameters(tools: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """``(function, parameter)`` of those that are strings by their schema."""
    functions = (tool.get("function", tool) for tool in tools)
    return {
        (function.get("name", ""), name)
        for function in functions
        if isinstance(function, Mapping) and isinstance(function.get("parameters"), Mapping)
        for name, schema in (function["parameters"].get("properties") or {}).items()
        if isinstance(schema, Mapping) and schema.get("type") == "string"
    }
