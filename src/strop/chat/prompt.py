"""Messages to the ids that inference feeds, made the way training makes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from strop.chat.codec import Codec
from strop.chat.conversation import Field, Message, read_message, read_tools
from strop.chat.rendered import assistants
from strop.chat.rendering import TemplateInputs, plain_messages, traced_inputs, traced_messages
from strop.chat.template import TemplateFailure
from strop.chat.thoughts import BLOCKS, closes, opens, read_reply
from strop.chat.traced import plain
from strop.common.errors import InputError

TAIL = 64
"""Characters at the end of a prompt that tell whether it opens the reasoning."""

Given = Sequence[Message | Mapping[str, Any]]


def typed(
    messages: Given, tools: Any = None, documents: Any = None, template_kwargs: Any = None
) -> tuple[list[Message], TemplateInputs]:
    """What a caller gives, validated. Raises InputError."""
    read = [
        message if isinstance(message, Message) else read_message(message, Field("prompt", f"messages[{index}]"))
        for index, message in enumerate(messages)
    ]
    tools = list(read_tools(tools, Field("prompt", "tools"))) or None
    documents = list(read_tools(documents, Field("prompt", "documents"))) or None
    return read, TemplateInputs(tools, documents, dict(template_kwargs or {}))


def prompt_ids(codec: Codec, messages: list[Message], inputs: TemplateInputs) -> list[int]:
    """The prompt's ids. Raises InputError where the template refuses the messages."""
    try:
        text = prompt_text(codec, messages, inputs)
    except TemplateFailure as error:
        raise InputError(f"prompt: the chat template refused these messages: {error}") from error
    return codec.tokens(text, assistants(messages), "prompt").ids


def prompt_text(codec: Codec, messages: list[Message], inputs: TemplateInputs) -> str:
    """The prompt, `Traced`; raises `TemplateFailure`.

    An answer that is given back as it was generated is read where it has to be: where the prompt had opened the
    reasoning that its content goes on with, or the template takes no such content.
    """
    messages = [_read_back(codec, message, messages[:index], inputs) for index, message in enumerate(messages)]
    try:
        return _render(codec, messages, inputs)
    except TemplateFailure:
        apart = [read_reply(m.content) if _is_raw(m) else m for m in messages]
        if apart == messages:
            raise
        return _render(codec, apart, inputs)


def _render(codec: Codec, messages: list[Message], inputs: TemplateInputs) -> str:
    return codec.renderer.render(traced_messages(messages, plain_messages(messages)), traced_inputs(inputs), True)


def _read_back(codec: Codec, message: Message, before: list[Message], inputs: TemplateInputs) -> Message:
    if not _is_raw(message):
        return message
    try:
        tail = plain(codec.renderer.render(plain_messages(before), inputs, True))[-TAIL:]
    except TemplateFailure:
        return message
    return read_reply(message.content, tail) if any(opens(tail, *marks) for marks in BLOCKS) else message


def _is_raw(message: Message) -> bool:
    """Whether the message may be an answer as it was generated, its notation in its content."""
    fields = (message.reasoning_content, message.tool_calls, message.parts)
    return message.role == "assistant" and not any(fields) and closes(message.content or "")
