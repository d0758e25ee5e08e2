"""Messages as templates want them, plain and with origins, and the rendering of them."""

import re
from collections.abc import Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

from strop.chat.builtin import template_text
from strop.chat.conversation import Conversation, Message
from strop.chat.origin import code
from strop.chat.settings import ChatSettings
from strop.chat.shape import Shape, call_shape, call_shapes, content_shape, prints_call, prints_reasoning, shaped
from strop.chat.template import ChatTemplate, TemplateFailure, template_failures
from strop.chat.traced import concat, relabel
from strop.common.errors import InputError

_MEND = "set chat.template to chatml, llama3, minimind, nanochat, the path of a .jinja file or a template's text"


class TemplateInputs(NamedTuple):
    """What a conversation brings beside its messages, as templates take it; ``own`` are variables of the row itself,
    which go before the settings' ``template_kwargs``."""

    tools: list[dict] | None = None
    documents: list[dict] | None = None
    own: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def of(cls, conversation: Conversation) -> "TemplateInputs":
        tools, documents = list(conversation.tools) or None, list(conversation.documents) or None
        return cls(tools, documents, conversation.template_kwargs)

    def conversation(self, messages: tuple[Message, ...], place: str) -> Conversation:
        tools, documents = tuple(self.tools or ()), tuple(self.documents or ())
        return Conversation(messages, tools, place, documents, dict(self.own))

    def variables(self) -> dict[str, Any]:
        return {"tools": self.tools, "documents": self.documents}


class Renderer:
    """The tokenizer's chat template (or the settings'), with its special tokens and the settings' variables."""

    def __init__(self, tokenizer: Any, settings: ChatSettings):
        self._tokenizer = tokenizer
        self._given = template_text(settings.template)
        if not self._given and not getattr(tokenizer, "chat_template", None):
            raise InputError(f"the tokenizer has no chat template; {_MEND}")
        self._variables = {**tokenizer.special_tokens_map, **settings.template_kwargs}
        self._kwargs = settings.template_kwargs
        self._template = cache(self._compile)
        self._shapes: dict[tuple[str, bool], Shape] = {}
        self._reasons: dict[str, bool] = {}
        self._template(self.source(None))  # one that does not compile is found now, not at the first conversation

    def source(self, tools: Any) -> str:
        """The template's text; tokenizers may have one of their own for conversations with tools."""
        if self._given or isinstance(self._tokenizer.chat_template, str):
            return self._given or self._tokenizer.chat_template
        try:
            return self._tokenizer.get_chat_template(None, tools)
        except ValueError as error:
            raise InputError(f"the tokenizer has several chat templates and none is the default; {_MEND}") from error

    @staticmethod
    def _compile(source: str) -> ChatTemplate:
        try:
            return ChatTemplate(source)
        except TemplateFailure as error:
            raise InputError(f"the chat template does not compile: {error}; {_MEND}") from error

    def render(self, messages: list[dict], inputs: TemplateInputs, add_generation_prompt: bool = False) -> str:
        """The text, `Traced` where the messages are. Raises `TemplateFailure` where the template refuses."""
        return self._render(shaped(messages, self._shape(messages, inputs)), inputs, add_generation_prompt)

    def _render(self, messages: list[dict], inputs: TemplateInputs, add_generation_prompt: bool = False) -> str:
        variables = {"messages": messages, **inputs.variables(), **self._variables, **inputs.own}
        variables["add_generation_prompt"] = add_generation_prompt
        return self._template(self.source(inputs.tools)).render(variables)

    def _shape(self, messages: list[dict], inputs: TemplateInputs) -> Shape:
        """The shape that the template wants; that of tool calls is looked for where there are any."""
        source, calls = self.source(inputs.tools), any("tool_calls" in message for message in messages)
        if (source, calls) not in self._shapes:
            render = partial(self._render, inputs=inputs)
            content = content_shape(render)
            self._shapes[source, calls] = call_shape(render, content) if calls else content
        return self._shapes[source, calls]

    def takes(self, conversation: Conversation) -> bool:
        """Whether the template renders it."""
        try:
            self.render(plain_messages(conversation.messages), TemplateInputs.of(conversation))
        except TemplateFailure:
            return False
        return True

    def prints_calls(self) -> bool:
        """Whether the template prints the arguments of tool calls, in whatever shape."""
        render = partial(self._render, inputs=TemplateInputs())
        return any(prints_call(render, shape) for shape in call_shapes(content_shape(render)))

    def prints_reasoning(self, conversation: Conversation) -> bool:
        """Whether the template prints the reasoning of a conversation's last answer."""
        inputs = TemplateInputs.of(conversation)
        source = self.source(inputs.tools)
        if source not in self._reasons:
            self._reasons[source] = prints_reasoning(partial(self._render, inputs=inputs), self._shape([], inputs))
        return self._reasons[source]

    def unknown_variables(self, conversation: Conversation) -> list[str]:
        """Those of the conversation's own variables that the template does not speak of."""
        own = conversation.template_kwargs
        source = self.source(list(conversation.tools) or None) if own else ""
        return [name for name in own if not re.search(rf"\b{re.escape(name)}\b", source)]

    def reference(self, messages: list[dict], inputs: TemplateInputs, tokenize: bool) -> Any:
        """The tokenizer's own rendering (text, or ids) of plain messages; raises `TemplateFailure` as `render` does."""
        messages = shaped(messages, self._shape(messages, inputs))
        options = {**inputs.variables(), **self._kwargs, **inputs.own, **({"return_dict": False} if tokenize else {})}
        with template_failures():
            return self._tokenizer.apply_chat_template(
                messages, chat_template=self.source(inputs.tools), tokenize=tokenize, **options
            )


def plain_messages(messages: Sequence[Message]) -> list[dict]:
    """What a template sees of each message: no absent fields, and reasoning under both of its names.

    A message whose content has parts that are not text shows them twice: joined, as ``content``, for the templates that
    know only that, and as ``parts``, a list of ``{"type", "text"}``.
    """
    result = []
    for message in messages:
        shown: dict[str, Any] = {"role": message.role}
        if message.reasoning_content is not None:
            shown = {"thinking": message.reasoning_content, **shown, "reasoning_content": message.reasoning_content}
        for name in ("content", "name", "tool_call_id"):
            if (value := getattr(message, name)) is not None:
                shown[name] = value
        if message.tool_calls:
            shown["tool_calls"] = list(message.tool_calls)
        if message.parts:
            shown["parts"] = [{"type": part.kind, "text": part.text} for part in message.parts]
        result.append(shown)
    return result


def traced_messages(messages: Sequence[Message], plain: Sequence[dict]) -> list[dict]:
    """The same messages, every string with its origin. Roles stay the template's: they are checked, not free text."""
    result = []
    for index, (message, shown) in enumerate(zip(messages, plain, strict=True)):
        traced = {
            name: value
            if name in ("role", "parts")
            else relabel(value, code(index, "reasoning_content" if name == "thinking" else name))
            for name, value in shown.items()
        }
        if message.parts:
            fields = ("content" if part.kind == "text" else part.kind for part in message.parts)
            texts = [relabel(part.text, code(index, field)) for part, field in zip(message.parts, fields, strict=True)]
            traced["content"] = concat(texts)
            traced["parts"] = [{**part, "text": text} for part, text in zip(shown["parts"], texts, strict=True)]
        result.append(traced)
    return result


def traced_inputs(inputs: TemplateInputs) -> TemplateInputs:
    """The same with origins: all of it is the conversation's."""
    traced = {name: value and relabel(value, code(-1, name)) for name, value in inputs.variables().items()}
    # `own`, like the settings' variables, chooses among the template's texts
    return TemplateInputs(**traced, own=inputs.own)
