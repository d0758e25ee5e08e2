"""What conversations are encoded with: the tokenizer, its template, the tokens that stop a turn, and the settings."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from strop.chat.builtin import BUILT_IN
from strop.chat.conversation import Conversation, Message
from strop.chat.origin import TEMPLATE, Run, runs
from strop.chat.rendering import Renderer, TemplateInputs, plain_messages, traced_inputs, traced_messages
from strop.chat.settings import ChatSettings
from strop.chat.template import TemplateFailure
from strop.chat.tokens import ControlStringError, TextEncoder, Tokens
from strop.chat.traced import plain, trace_of
from strop.common.errors import InputError

_TAIL_CACHE = 4096


class Codec:
    """A tokenizer with the settings that say how its template and its control tokens are used.

    Args:
        tokenizer: a transformers fast tokenizer. Its backend is copied, so later changes to it are not seen.
        settings: see `ChatSettings`.
        stop_ids: ids that end a turn, besides the tokenizer's ``eos_token_id``, the settings' ``stop_tokens`` and that
            of a built-in template; hand in the model's ``generation_config.eos_token_id``.
        reads: the most tokens that the model reads; an example that is longer is refused, whatever the settings.
        window: how many tokens of plain text go into an example where ``max_length`` is not set; hand in what the model
            reads at once. Without either, a document is one example.

    Raises:
        InputError: when the chat template does not compile, or the tokenizer lacks a token that the settings name or
            their built-in template needs (`strop.chat.fit_tokenizer` adds the latter). That there is no template is
            raised by what needs one; plain text needs none.
    """

    def __init__(
        self,
        tokenizer: Any,
        settings: ChatSettings | None = None,
        stop_ids: Collection[int] = frozenset(),
        window: int | None = None,
        *,
        reads: int | None = None,
    ):
        self.settings, self.window, self.reads = settings or ChatSettings(), window, reads
        self.tokenizer = tokenizer
        if self.settings.template or getattr(tokenizer, "chat_template", None):
            self.require_template()
        named = _token_ids(tokenizer, self.settings.stop_tokens, "stop_tokens")
        for name in ("assistant_may_write", "ordinary_tokens"):
            _token_ids(tokenizer, getattr(self.settings, name), name)
        built_in = BUILT_IN.get(self.settings.template or "")
        ids = built_in.ids(tokenizer) if built_in else {}
        named += [ids[built_in.stop]] if built_in else []
        self.inserted_ids = frozenset(ids[token] for token in built_in.inserted) if built_in else frozenset()
        eos = tokenizer.eos_token_id
        self.stop_ids = frozenset({*stop_ids, *named, *(() if eos is None else (eos,))})
        self.text_encoder = TextEncoder(tokenizer, frozenset(self.settings.ordinary_tokens))
        self.controls = self.text_encoder.controls  # the control tokens' strings by id
        # Around a document: the tokenizer's end token, and its first one where it writes that by itself.
        self.document_end = None if eos is None else (eos, tokenizer.eos_token)
        first = tokenizer.backend_tokenizer.encode("", add_special_tokens=True).ids[:1]
        opens = first == [tokenizer.bos_token_id]
        self.document_start = (first, tokenizer.bos_token) if opens else ([], "")
        self.syntaxes: dict[Any, Any] = {}  # what `strop.chat.syntax` has learnt
        self._template_ids = lru_cache(_TAIL_CACHE)(lambda text: self.tokens(text, (), "template").ids)

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer(self.tokenizer, self.settings)

    @cached_property
    def _chatml(self) -> Renderer:
        return Renderer(self.tokenizer, ChatSettings(template="chatml"))

    def require_template(self) -> None:
        """Raises InputError when there is no chat template, or it does not compile."""
        _ = self.renderer

    def tokens(self, text: str, writers: Collection[int], place: str, encoding: Any = None) -> Tokens:
        """A rendered text as tokens; see `TextEncoder.encode`. Raises InputError."""
        settings = self.settings
        try:
            return self.text_encoder.encode(
                text, settings.control_tokens, writers, settings.assistant_may_write, encoding
            )
        except ControlStringError as error:
            raise InputError(f"{place}: {error}") from error

    def tail_ids(self, tail: str, writers: Collection[int], place: str) -> list[int]:
        """The ids of the end of a prompt, from its last control token on: nearly always the same few strings."""
        if trace_of(tail).strip(TEMPLATE):
            return self.tokens(tail, writers, place).ids
        return self._template_ids(plain(tail))

    def refusal(self, conversation: Conversation, error: TemplateFailure) -> InputError:
        """What the template said of a conversation, and what to do: another template only where that takes it."""
        takes = self.renderer.source(None) != BUILT_IN["chatml"].text and self._chatml.takes(conversation)
        if any(m.tool_calls or m.role == "tool" for m in conversation.messages) and not self.renderer.prints_calls():
            mend = "set chat.template: chatml, which has them" if takes else "use a template with tools"
            why = f"the chat template has no place for tool calls and their results ({error}); {mend}"
        else:
            mend = "set chat.template: chatml, which takes it" if takes else "use another template"
            why = f"the chat template refused this conversation: {error}; mend the conversation, or {mend}"
        return InputError(f"{conversation.place}: {why}")


def _token_ids(tokenizer: Any, names: Sequence[str], setting: str) -> list[int]:
    vocabulary = tokenizer.get_vocab() if names else {}
    for name in names:
        if name not in vocabulary:
            raise InputError(f"chat.{setting}: the tokenizer has no token {name!r}; check the spelling or drop it")
    return [vocabulary[name] for name in names]


@dataclass
class Rendered:
    """A text of C characters and T tokens, and what it was made of.

    ``messages`` and ``inputs`` are the conversation as templates take it, ``traced`` the messages with origins, and
    ``traced_text`` (C) what the template made of them. ``part``: how the conversation was cut out of a longer one
    (``turn``, ``length``); ``since``: the first message that no part before it has. ``encoding``: the backend's of the
    text, where it is there already.
    """

    codec: Codec
    conversation: Conversation
    messages: list[dict]
    inputs: TemplateInputs
    traced: list[dict]
    traced_text: str
    part: str = ""
    since: int = 0
    encoding: Any = None

    @cached_property
    def tokens(self) -> Tokens:
        """Raises InputError."""
        return self.codec.tokens(self.traced_text, self.writers, self.conversation.place, self.encoding)

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

    def prompt_before(self, message: int, generation_prompt: bool) -> str | None:
        """What inference renders before a message; None where the template does not go without an answer."""
        try:
            return self.codec.renderer.render(self.messages[:message], self.inputs, generation_prompt)
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
    return Rendered(codec, conversation, messages, inputs, traced, text, part, since)


def assistants(messages: Sequence[Message]) -> frozenset[int]:
    return frozenset(index for index, message in enumerate(messages) if message.role == "assistant")
