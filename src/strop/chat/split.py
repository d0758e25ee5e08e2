"""One conversation cut into several: a turn each, or as many exchanges as fit."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from strop.chat.conversation import Conversation, Message


def by_turn(conversation: Conversation, turns: Sequence[int]) -> list[Conversation]:
    """For each message of ``turns`` the conversation up to it, with only that message trained."""
    return [_trained_only(conversation, conversation.messages[: turn + 1], {turn}) for turn in turns]


def by_length(
    conversation: Conversation, lengths: Sequence[int], limit: int, fits: Callable[[Conversation], bool]
) -> tuple[list[Conversation], int]:
    """Pieces of consecutive exchanges, each after the system prompt, as long as they fit; every message is in one.

    An exchange is a user's message and all that follows until the next. ``lengths``: about how many tokens each
    message takes; ``fits`` says it exactly. Returns the pieces and the number of exchanges that fit nowhere.
    """
    head, exchanges = _exchanges(conversation.messages)
    taken = sum(lengths[i] for i in head)
    pieces, lost, at = [], 0, 0
    while at < len(exchanges):
        end, room = at + 1, limit - taken - sum(lengths[i] for i in exchanges[at])
        while end < len(exchanges) and (room := room - sum(lengths[i] for i in exchanges[end])) >= 0:
            end += 1
        for end in range(end, at, -1):  # the estimate may be a little too good
            members = [*head, *(i for exchange in exchanges[at:end] for i in exchange)]
            piece = replace(conversation, messages=tuple(conversation.messages[i] for i in members))
            if fits(piece):
                pieces.append(piece)
                break
        else:
            lost, end = lost + 1, at + 1
        at = end
    return pieces, lost


def _exchanges(messages: Sequence[Message]) -> tuple[list[int], list[list[int]]]:
    """The leading system messages, and the exchanges after them, as indices."""
    count = next((i for i, m in enumerate(messages) if m.role not in ("system", "developer")), len(messages))
    exchanges: list[list[int]] = []
    for index in range(count, len(messages)):
        opens = messages[index].role == "user" and messages[index - 1].role != "user"
        if opens or not exchanges:
            exchanges.append([])
        exchanges[-1].append(index)
    return list(range(count)), exchanges


def _trained_only(conversation: Conversation, messages: Sequence[Message], trained: set[int]) -> Conversation:
    return replace(
        conversation,
        messages=tuple(m if i in trained else replace(m, train=False) for i, m in enumerate(messages)),
    )
