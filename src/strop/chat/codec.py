"""What conversations are encoded with: the tokenizer, its template, the tokens that stop a turn, and the settings."""

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

from strop.chat.builtin import BUILT_IN
from strop.chat.conversation import Conversation
from strop.chat.origin import TEMPLATE
from strop.chat.rendering import Renderer, TemplateInputs, plain_messages
from strop.chat.settings import ChatSettings
from strop.chat.template import TemplateFailure
from strop.chat.tokens import Borders, ControlStringError, TextEncoder, Tokens
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
        built_in = BUILT_IN.get(self.settings.template)
        ids = built_in.ids(tokenizer) if built_in else {}
        named += [ids[built_in.stop]] if built_in else []
        self.inserted_ids = frozenset(ids[token] for token in built_in.inserted) if built_in else frozenset()
        eos = tokenizer.eos_token_id
        self.stop_ids = frozenset({*stop_ids, *named, *(() if eos is None else (eos,))})
        self.text_encoder = TextEncoder(tokenizer, frozenset(self.settings.ordinary_tokens))
        self.borders = Borders(tokenizer)
        self._tails: dict[str, list[int]] = {}
        self.syntaxes: dict[Any, Any] = {}  # what `strop.chat.syntax` has learnt

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer(self.tokenizer, self.settings)

    @property
    def controls(self) -> dict[int, str]:
        """The control tokens: their strings by id."""
        return self.text_encoder.controls

    def require_template(self) -> None:
        """Raises InputError when there is no chat template, or it does not compile."""
        _ = self.renderer

    def source(self, tools: Any) -> str:
        """The text of the chat template for conversations with (or without) tools."""
        return self.renderer.source(tools)

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
        tail = plain(tail)
        if tail not in self._tails:
            if len(self._tails) >= _TAIL_CACHE:
                self._tails.clear()
            self._tails[tail] = self.tokens(tail, writers, place).ids
        return self._tails[tail]

    def refusal(self, conversation: Conversation, error: TemplateFailure) -> InputError:
        """What the template said of a conversation, and what to do: another template only where that takes it."""
        tried = self.renderer.built_in("chatml") if self.source(None) != BUILT_IN["chatml"].text else None
        takes = tried is not None and tried.takes(
            plain_messages(conversation.messages), TemplateInputs.of(conversation)
        )
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
