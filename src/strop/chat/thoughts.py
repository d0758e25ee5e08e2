"""Answers read without their template, by a few published notations: what a model thought, said and called.

For what no template can teach (see `strop.chat.syntax`): many print no reasoning although their models write it, and
models do not write quite what templates print. Text is never lost: what no notation explains stays content.
"""

import json
import re
from dataclasses import replace

from strop.chat.conversation import Conversation, Message

BLOCKS = (
    ("<think>", "</think>"),
    ("<|channel>thought\n", "<channel|>"),  # Gemma 4
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command
    ("[THINK]", "[/THINK]"),  # Magistral
    ("<seed:think>", "</seed:think>"),
)
_RESPONSE = ("<|START_RESPONSE|>", "<|END_RESPONSE|>")  # Command; its prompts may hold the first already
# Messages in a message, each with its own header: gpt-oss' Harmony, and ATEM with recipients instead of channels.
_PART = re.compile(
    r"(?:<\|start\|>assistant)?(?P<header>(?:\s*to=|<\|channel\|>)(?:(?!<\|start\|>|<\|message\|>).)*)<\|message\|>"
    r"(?P<body>.*?)(?P<end><\|(?:end|call|return|eom|eot)\|>|(?=<\|start\|>assistant)|\Z)",
    re.DOTALL,
)
_RECIPIENT = re.compile(r"to=([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")


def read_reply(text: str, prompt_tail: str = "") -> Message:
    """The assistant's message that a generated text is, its reasoning apart from its content.

    Args:
        text: the answer without its stop token, decoded with its control tokens (``skip_special_tokens=False``): they
            are the notation.
        prompt_tail: the end of the text that it was generated after. Where that opens the reasoning (``<think>``), the
            answer begins inside of it, and one that never closes it is reasoning alone.

    Returns:
        A message of role ``assistant``. ``reasoning_content`` is None where there is no block of reasoning, and empty
        where there is an empty one. Newlines at the borders are the notation's.
    """
    parts = list(_PART.finditer(text))
    if parts and "".join(part[0] for part in parts) == text:
        return _of_parts(parts)
    for opening, closing in BLOCKS:
        if opens(prompt_tail, opening, closing):
            inside, _, rest = text.removeprefix(opening).partition(closing)
            return _message(inside, rest)
    for opening, closing in BLOCKS:
        bare = text.lstrip()
        if bare.startswith(opening) and closing in bare:
            inside, _, rest = bare.removeprefix(opening).partition(closing)
            return _message(inside, rest)
    return _message(None, text)


def opens(prompt_tail: str, opening: str = "<think>", closing: str = "</think>") -> bool:
    """Whether a block that the prompt opened is still open where it ends."""
    at = prompt_tail.rfind(opening.rstrip("\n"))
    return at >= 0 and not prompt_tail[at + len(opening.rstrip("\n")) :].strip()


def closes(text: str) -> bool:
    """Whether some notation's mark stands in a text: only then can `read_reply` find more than content in it."""
    return "<|message|>" in text or any(closing in text for _, closing in BLOCKS)


def _message(reasoning: str | None, content: str) -> Message:
    if reasoning is not None:
        reasoning, content = reasoning.strip("\n"), content.lstrip("\n")
    return Message("assistant", content.removeprefix(_RESPONSE[0]).removesuffix(_RESPONSE[1]), reasoning)


def _of_parts(parts: list[re.Match[str]]) -> Message:
    reasoning: list[str] = []
    content: list[str] = []
    calls: list[dict] = []
    for part in parts:
        whole, header, body = part[0], part["header"], part["body"]
        recipient, channel = _RECIPIENT.search(header), _CHANNEL.search(header)
        to = recipient[1] if recipient else "user"
        if to not in ("self", "user"):
            if call := _call(to, body):
                calls.append(call)
            else:
                content.append(whole)
        elif to == "self" or (channel and channel[1] == "analysis"):
            reasoning.append(body)
        else:
            content.append(body)
    said = "\n".join(content)
    return Message("assistant", said, "\n".join(reasoning) if reasoning else None, tuple(calls))


def _call(recipient: str, body: str) -> dict | None:
    """None where the arguments are no JSON object."""
    try:
        arguments = json.loads(body)
    except ValueError:
        return None
    if not isinstance(arguments, dict):
        return None
    return {"type": "function", "function": {"name": recipient.removeprefix("functions."), "arguments": arguments}}


# -- reasoning in data

_OPENS, _CLOSES = "<think>", "</think>"
_QUOTES = ("`", "'", '"')


def is_orphan(message: Message) -> bool:
    """Whether the content closes a block of reasoning that it did not open (and does not just speak of the tag)."""
    if message.role != "assistant" or message.reasoning_content is not None or message.parts or not message.content:
        return False
    before, closed, _ = message.content.partition(_CLOSES)
    return bool(closed) and _OPENS not in before and not before.endswith(_QUOTES)


def with_thoughts_apart(conversation: Conversation) -> Conversation:
    """What stands before a lone ``</think>`` as its message's reasoning; newlines at the borders are the template's."""
    messages = list(conversation.messages)
    for index, message in enumerate(messages):
        if is_orphan(message):
            before, _, after = (message.content or "").partition(_CLOSES)
            messages[index] = replace(message, reasoning_content=before.strip("\n"), content=after.lstrip("\n"))
    return replace(conversation, messages=tuple(messages))
