"""One conversation cut into several: a turn each, or as many exchanges as fit."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import accumulate, takewhile

from strop.chat.conversation import Conversation, Message


def by_turn(conversation: Conversation, turns: Sequence[int]) -> list[Conversation]:
    """For each message of ``turns`` the conversation up to it, with only that message trained."""
    whole = conversation.messages
    return [only_trained(replace(conversation, messages=whole[: turn + 1]), {turn}) for turn in turns]


def only_trained(conversation: Conversation, turns: Collection[int]) -> Conversation:
    """The conversation with no assistant's turn trained but these."""
    messages = list(conversation.messages)
    for index, message in enumerate(messages):
        if message.role == "assistant" and index not in turns:
            messages[index] = replace(message, train=False)
    return replace(conversation, messages=tuple(messages))


def by_length(
    conversation: Conversation, lengths: Sequence[int], limit: int, fits: Callable[[Conversation], bool]
) -> tuple[list[Conversation], list[Conversation]]:
    """Pieces of consecutive exchanges, each after the system prompt, as long as they fit; every message is in one.

    An exchange is a user's message and all that follows until the next. ``lengths``: about how many tokens each
    message takes; ``fits`` says it exactly. Returns the pieces, and the exchanges that do not fit even alone.
    """
    messages = conversation.messages
    head, exchanges = range(opening(messages)), []
    for index in range(len(head), len(messages)):
        opens = messages[index].role == "user" and messages[index - 1].role != "user"
        if opens or not exchanges:
            exchanges.append([])
        exchanges[-1].append(index)
    room = limit - sum(lengths[i] for i in head)

    def piece(start: int, end: int) -> Conversation:
        members = [*head, *(i for exchange in exchanges[start:end] for i in exchange)]
        return replace(conversation, messages=tuple(messages[i] for i in members))

    pieces, lost, start = [], [], 0
    while start < len(exchanges):
        taken = accumulate(sum(lengths[i] for i in exchange) for exchange in exchanges[start:])
        guess = start + max(1, sum(1 for _ in takewhile(lambda length: length <= room, taken)))
        # The estimate may be a little too good, never by much: the template adds hardly more to fewer messages.
        end = next((end for end in range(guess, start, -1) if fits(piece(start, end))), None)
        if end is None:
            end = start + 1
            lost.append(piece(start, end))
        else:
            pieces.append(piece(start, end))
        start = end
    return pieces, lost


def opening(messages: Sequence[Message]) -> int:
    """How many system messages lead a conversation; every piece of it begins with them."""
    return next((i for i, m in enumerate(messages) if m.role not in ("system", "developer")), len(messages))
