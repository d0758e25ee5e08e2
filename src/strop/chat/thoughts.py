"""Answers whose reasoning ends with ``</think>`` but begins with nothing: what a model writes after a prompt that had
opened the reasoning for it."""

from dataclasses import replace

from strop.chat.conversation import Conversation, Message

_OPENS, _CLOSES = "<think>", "</think>"
_QUOTES = ("`", "'", '"')


def is_orphan(message: Message) -> bool:
    """Whether the content closes a block of reasoning that it did not open (and does not just speak of the tag)."""
    if message.role != "assistant" or message.reasoning_content is not None or message.parts or not message.content:
        return False
    before, closed, _ = message.content.partition(_CLOSES)
    return bool(closed) and _OPENS not in before and not before.endswith(_QUOTES)


def apart(message: Message) -> Message:
    """The message with what stands before ``</think>`` as its reasoning; newlines at the borders are the template's."""
    before, _, after = message.content.partition(_CLOSES)
    return replace(message, reasoning_content=before.strip("\n"), content=after.lstrip("\n"))


def with_thoughts_apart(conversation: Conversation) -> Conversation:
    messages = tuple(apart(message) if is_orphan(message) else message for message in conversation.messages)
    return replace(conversation, messages=messages)
