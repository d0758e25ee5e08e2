"""Conversations to examples: the tokenizer, the template and the settings, and what is done with them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from strop.chat.builtin import BUILT_IN
from strop.chat.conversation import Conversation, Field, LeftOut, Message, read_message, read_tools
from strop.chat.example import Example
from strop.chat.inspection import Inspection
from strop.chat.origin import TEMPLATE
from strop.chat.outcome import inspection
from strop.chat.rendering import Beside, Renderer, plain_messages, traced_beside, traced_messages
from strop.chat.reply import BLOCKS, closes, opens, read_reply, readings
from strop.chat.report import MaskReport
from strop.chat.settings import ChatSettings
from strop.chat.template import TemplateFailure
from strop.chat.text import Borders, Text, encode_text
from strop.chat.thoughts import is_orphan, with_thoughts_apart
from strop.chat.tokens import ControlStringError, TextEncoder, Tokens
from strop.chat.traced import plain, trace_of
from strop.chat.work import Work, assistants
from strop.errors import InputError

_TAIL_CACHE = 4096
_TAIL = 64
"""Characters at the end of a prompt that tell whether it opens the reasoning."""


class ChatEncoder:
    """Turns conversations into tokens and loss weights, and messages into the prompt that inference feeds.

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
        self.report = MaskReport()
        self._tokenizer = tokenizer
        if self.settings.template or getattr(tokenizer, "chat_template", None):
            self.require_template()
        named = _token_ids(tokenizer, self.settings.stop_tokens, "stop_tokens")
        for name in ("assistant_may_write", "ordinary_tokens"):
            _token_ids(tokenizer, getattr(self.settings, name), name)
        built_in = BUILT_IN.get(self.settings.template)
        ids = built_in.ids(tokenizer) if built_in else {}
        named += [ids[built_in.stop]] if built_in else []
        self.inserted_ids = frozenset(ids[token] for token in built_in.inserted) if built_in else frozenset()
        eos = tokenizer.eos_token_id
        self.stop_ids = frozenset({*stop_ids, *named, *(() if eos is None else (eos,))})
        self._text = TextEncoder(tokenizer, frozenset(self.settings.ordinary_tokens))
        self._tails: dict[str, list[int]] = {}
        self._ahead: dict[int, tuple[Conversation, Work]] = {}
        self.borders = Borders(tokenizer)

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self._tokenizer, self.settings)

    def require_template(self) -> None:
        """Raises InputError when there is no chat template, or it does not compile."""
        _ = self._renderer

    def prompt(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        tools: Sequence[Mapping] | None = None,
        documents: Sequence[Mapping] | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """The ids that inference feeds to have the next assistant turn written, made the way training makes them."""
        place = "prompt"
        typed, beside = _typed(messages, tools, documents, template_kwargs, place)
        try:
            text = self._prompt_text(typed, beside)
        except TemplateFailure as error:
            raise InputError(f"{place}: the chat template refused these messages: {error}") from error
        return self._tokens(text, assistants(typed), place).ids

    def read_reply(
        self,
        text: str,
        messages: Sequence[Message | Mapping[str, Any]],
        tools: Sequence[Mapping] | None = None,
        documents: Sequence[Mapping] | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> Message:
        """The message that a text is which was generated after `prompt` of ``messages``: see `strop.chat.reply`.

        Where several readings are possible it is the one of which this template makes the same text again. A template
        that prints no reasoning gets it back as content, where the model wrote it.
        """
        typed, beside = _typed(messages, tools, documents, template_kwargs, "prompt")
        prompt = plain(self._prompt_text(typed, beside))
        first = read_reply(text, prompt[-_TAIL:])
        for reading in readings(text, first):
            try:
                again = self._renderer.render(plain_messages([*typed, reading]), beside)
            except TemplateFailure:
                continue
            if again.startswith(prompt + text):
                return reading
        return first

    def _prompt_text(self, messages: list[Message], beside: Beside) -> str:
        """An answer that is given back as it was generated is read (`strop.chat.reply`) where it has to be: where the
        prompt had opened the reasoning that its content goes on with, or the template takes no such content."""
        messages = [self._read_back(message, messages[:index], beside) for index, message in enumerate(messages)]
        try:
            return self._render_prompt(messages, beside)
        except TemplateFailure:
            apart = [read_reply(m.content) if _is_raw(m) else m for m in messages]
            if apart == messages:
                raise
            return self._render_prompt(apart, beside)

    def _render_prompt(self, messages: list[Message], beside: Beside) -> str:
        return self._renderer.render(traced_messages(messages, plain_messages(messages)), traced_beside(beside), True)

    def _read_back(self, message: Message, before: list[Message], beside: Beside) -> Message:
        if not _is_raw(message):
            return message
        try:
            tail = plain(self._renderer.render(plain_messages(before), beside, True))[-_TAIL:]
        except TemplateFailure:
            return message
        return read_reply(message.content, tail) if any(opens(tail, *marks) for marks in BLOCKS) else message

    def encode(self, conversation: Conversation | Text | LeftOut) -> list[Example]:
        """Tokens and loss weights of a conversation, proven.

        One example, as a rule; several where ``drift: split`` or ``too_long: split_turns`` cut it up; none where
        ``too_long`` had it dropped (or cut down to nothing trained), or where it says itself that it is not trained. Of
        plain text, one for each ``max_length`` (or ``window``) tokens.

        Raises:
            InputError: when the template refuses the conversation, or a check fails that the settings do not waive.
        """
        self.report.tell(conversation)
        if isinstance(conversation, LeftOut):
            return []
        if isinstance(conversation, Text):
            return [shown.example for shown in encode_text(self, conversation)]
        self.report.conversations += 1
        return [work.example for work in self._finished(conversation, strict=True)]

    def inspect(self, conversation: Conversation | Text | LeftOut) -> list[Inspection]:
        """The same, laid open: one `Inspection` for every example; failed checks are among the warnings.

        Raises:
            InputError: when the template refuses the conversation, or its text cannot be encoded.
        """
        self.report.tell(conversation)
        if isinstance(conversation, LeftOut):
            return []
        if isinstance(conversation, Text):
            return list(encode_text(self, conversation))
        self.report.conversations += 1
        return [inspection(work) for work in self._finished(conversation, strict=False)]

    def look_ahead(self, conversations: Iterable[Conversation | Text | LeftOut]) -> None:
        """Render and tokenise conversations that are handed to `encode` next (those very objects).

        `encode` does as much by itself; done for a hundred at a time it is about a quarter quicker, because the
        tokenizer and the rest no longer push each other out of the caches, and it is done on all cores.
        """
        works = {id(c): (c, Work(self, self._read(c))) for c in conversations if isinstance(c, Conversation)}
        for key, (_, work) in list(works.items()):
            try:
                work.render()
            except (TemplateFailure, InputError):  # `encode` will say so, when it is this one's turn
                del works[key]
        encodings = self._text.backend_encodings([plain(work.rendered) for _, work in works.values()])
        for (_, work), encoding in zip(works.values(), encodings, strict=True):
            work.encoding = encoding
        self._ahead = works  # which holds the conversation, so no other can have the same id

    def _read(self, conversation: Conversation) -> Conversation:
        """The conversation with reasoning that only ends (``…</think>``) apart, where the template prints reasoning."""
        if not any(map(is_orphan, conversation.messages)) or not self._renderer.prints_reasoning(conversation):
            return conversation
        return with_thoughts_apart(conversation)

    def _note(self, conversation: Conversation) -> None:
        """Count what can only be told with the template at hand."""
        if orphans := sum(map(is_orphan, conversation.messages)):
            known = self._renderer.prints_reasoning(conversation)
            self.report.notes["orphan_think" if known else "orphan_think_kept"] += orphans
        for name in self._renderer.unknown_variables(conversation):
            self.report.notes[f"variable:{name}"] += 1

    def _trains_nothing(self, conversation: Conversation) -> bool:
        """Whether none of the turns that would be trained is, because the data say so."""
        turns = [message for message in conversation.messages if message.role == "assistant"]
        last = self.settings.train_on == "last"
        return self.settings.train_on != "all" and not any(m.loss_weight for m in (turns[-1:] if last else turns))

    def source(self, tools: Any) -> str:
        """The text of the chat template for conversations with (or without) tools."""
        return self._renderer.source(tools)

    def _finished(self, conversation: Conversation, strict: bool) -> list[Work]:
        _, work = self._ahead.pop(id(conversation), (None, None)) if strict else (None, None)
        self._note(conversation)
        if self._trains_nothing(conversation):
            self.report.notes["untrained"] += 1
            if strict:
                return []
        try:
            return list((work or Work(self, self._read(conversation), strict)).run())
        except TemplateFailure as error:
            raise InputError(f"{conversation.place}: {self._refusal(conversation, error)}") from error

    def _refusal(self, conversation: Conversation, error: TemplateFailure) -> str:
        """What the template said of a conversation, and what to do: another template only where that takes it."""
        tried = self._renderer.built_in("chatml") if self._renderer.source(None) != BUILT_IN["chatml"].text else None
        takes = tried is not None and tried.takes(plain_messages(conversation.messages), Beside.of(conversation))
        if any(m.tool_calls or m.role == "tool" for m in conversation.messages) and not self._renderer.prints_calls():
            mend = "set chat.template: chatml, which has them" if takes else "use a template with tools"
            return f"the chat template has no place for tool calls and their results ({error}); {mend}"
        mend = "set chat.template: chatml, which takes it" if takes else "use another template"
        return f"the chat template refused this conversation: {error}; mend the conversation, or {mend}"

    def _tokens(self, text: str, writers: Collection[int], place: str, encoding: Any = None) -> Tokens:
        settings = self.settings
        try:
            return self._text.encode(text, settings.control_tokens, writers, settings.assistant_may_write, encoding)
        except ControlStringError as error:
            raise InputError(f"{place}: {error}") from error

    def _tail_ids(self, tail: str, writers: Collection[int], place: str) -> list[int]:
        """The ids of the end of a prompt, from its last control token on: nearly always the same few strings."""
        if trace_of(tail).strip(TEMPLATE):
            return self._tokens(tail, writers, place).ids
        tail = plain(tail)
        if tail not in self._tails:
            if len(self._tails) >= _TAIL_CACHE:
                self._tails.clear()
            self._tails[tail] = self._tokens(tail, writers, place).ids
        return self._tails[tail]


def _typed(
    messages: Sequence[Message | Mapping[str, Any]],
    tools: Sequence[Mapping] | None,
    documents: Sequence[Mapping] | None,
    template_kwargs: Mapping[str, Any] | None,
    place: str,
) -> tuple[list[Message], Beside]:
    typed = [
        message if isinstance(message, Message) else read_message(message, Field(place, f"messages[{index}]"))
        for index, message in enumerate(messages)
    ]
    beside = Beside(
        list(read_tools(tools, Field(place, "tools"))) or None,
        list(read_tools(documents, Field(place, "documents"))) or None,
        dict(template_kwargs or {}),
    )
    return typed, beside


def _is_raw(message: Message) -> bool:
    """Whether the message may be an answer as it was generated, its notation in its content."""
    fields = (message.reasoning_content, message.tool_calls, message.parts)
    return message.role == "assistant" and not any(fields) and closes(message.content or "")


def _token_ids(tokenizer: Any, names: Sequence[str], setting: str) -> list[int]:
    vocabulary = tokenizer.get_vocab() if names else {}
    ids = []
    for name in names:
        index = vocabulary.get(name)
        if index is None:
            raise InputError(f"chat.{setting}: the tokenizer has no token {name!r}; check the spelling or drop it")
        ids.append(index)
    return ids
