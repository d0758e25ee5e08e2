"""What would make training and serving see the same before a turn, tried out before anybody is told of it."""

from contextlib import suppress
from typing import Literal

from strop.chat.builtin import BUILT_IN
from strop.chat.codec import Codec, Rendered, render
from strop.chat.conversation import by_turn
from strop.chat.mask import TurnSpan, turn_span
from strop.chat.template import TemplateFailure
from strop.common.errors import InputError

Mend = Literal["split", "template", "allow"]
MENDS: dict[str, str] = {
    "split": "chat.drift: split (one example per turn, as served) makes them equal, or train only the last turn",
    "template": "no split of the conversation makes them equal, but chat.template: chatml does, and chat.drift: allow "
    "goes on regardless",
    "allow": "no split of the conversation makes them equal, nor does chat.template: chatml; chat.drift: allow goes on "
    "regardless",
}

_FIRST, _EVERY = 20, 100
"""Of a run's conversations the first so many are looked at, and every n-th of the rest: it takes a rendering or two."""
_BORDER = 64  # characters of an answer that its first token may depend on


def is_looked_at(number: int) -> bool:
    """Whether the conversation of this number (from 0) is among those of which a run finds out what mends the drift."""
    return number < _FIRST or number % _EVERY == 0


def drift_words(turn: TurnSpan) -> str:
    """How training and inference differ before the turn."""
    if not turn.drift_tokens:
        return f"before message {turn.message} the template makes no prompt, so inference could not be at this turn"
    tokens = "1 token that differs" if turn.drift_tokens == 1 else f"{turn.drift_tokens} tokens that differ"
    return f"before message {turn.message} training sees {tokens} from what inference feeds"


def mend_of(codec: Codec, rendered: Rendered, message: int) -> Mend:
    """What mends the drift before a turn of this conversation."""
    if rendered.part != "turn":
        [alone] = by_turn(rendered.conversation, [message])  # what a split makes of it: is that what is served?
        with suppress(TemplateFailure, InputError):
            if not turn_span(codec, render(codec, alone), message, 1.0).drifted:
                return "split"
    return "template" if _chatml_helps(codec, rendered, message) else "allow"


def _chatml_helps(codec: Codec, rendered: Rendered, index: int) -> bool:
    """Whether the prompt that `chatml` writes ends with the same tokens when the answer follows.

    It rewrites no history, so only its last token, a newline, could be another.
    """
    if codec.renderer.source(rendered.inputs.tools) == BUILT_IN["chatml"].text:
        return False
    message = rendered.conversation.messages[index]
    if message.reasoning_content or not message.content:  # a control token follows
        return True
    prompt = "assistant\n"
    texts = (prompt, prompt + message.content[:_BORDER])
    ids = [codec.tokens(text, rendered.writers, rendered.conversation.place).ids for text in texts]
    return ids[1][: len(ids[0])] == ids[0]
