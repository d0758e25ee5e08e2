"""A conversation as its template prints it: the text with its origins, and its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from strop.chat.codec import Codec
from strop.chat.conversation import Conversation, Message
from strop.chat.origin import Run, runs
from strop.chat.rendering import TemplateInputs, plain_messages, traced_inputs, traced_messages
from strop.chat.template import TemplateFailure
from strop.chat.tokens import Tokens
from strop.chat.traced import plain, trace_of


@dataclass
class Rendered:
    """A text of C characters and T tokens, and what it was made of.

    ``messages`` and ``inputs`` are the conversation as templates take it, ``traced`` the messages with origins, and
    ``traced_text`` (C) what the template made of them. ``part``: how the conversation was cut out of a longer one
    (``turn``, ``length``); ``since``: the first message that no part before it has.
    """

    conversation: Conversation
    messages: list[dict]
    inputs: TemplateInputs
    traced: list[dict]
    traced_text: str
    part: str = ""
    since: int = 0
    tokens: Tokens | None = None  # after `tokenise`

    @cached_property
    def text(self) -> str:
        return plain(self.traced_text)

    @cached_property
    def runs(self) -> list[Run]:
        """The text in stretches of one origin, covering all of it."""
        return runs(trace_of(self.traced_text))

    @cached_property
    def writers(self) -> frozenset[int]:
        return assistants(self.conversation.messages)

    def prompt_before(self, codec: Codec, message: int, generation_prompt: bool) -> str | None:
        """What inference renders before a message; None where the template does not go without an answer."""
        try:
            return codec.renderer.render(self.messages[:message], self.inputs, generation_prompt)
        except TemplateFailure:
            return None

    def message_lengths(self) -> list[int]:
        """About how many tokens each message takes, the template's text before it included."""
        lengths, at = [0] * len(self.messages), 0
        for message in range(len(self.messages)):
            end = max((run.end for run in self.runs if run.message == message), default=at)
            first, last = self.tokens.within(at, end) if end > at else (0, 0)
            lengths[message], at = last - first, max(at, end)
        return lengths


def render(codec: Codec, conversation: Conversation, part: str = "", since: int = 0) -> Rendered:
    """The conversation's text. Raises `TemplateFailure` where the template refuses it."""
    messages, inputs = plain_messages(conversation.messages), TemplateInputs.of(conversation)
    traced = traced_messages(conversation.messages, messages)
    text = codec.renderer.render(traced, traced_inputs(inputs))
    return Rendered(conversation, messages, inputs, traced, text, part, since)


def tokenise(codec: Codec, rendered: Rendered, encoding: Any = None) -> Rendered:
    """The same with its tokens; ``encoding``: the backend's, where it is there already. Raises InputError."""
    rendered.tokens = codec.tokens(rendered.traced_text, rendered.writers, rendered.conversation.place, encoding)
    return rendered


def assistants(messages: Sequence[Message]) -> frozenset[int]:
    return frozenset(index for index, message in enumerate(messages) if message.role == "assistant")
