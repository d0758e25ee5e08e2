"""Tokens to text as they come, and text to what was thought and what was said."""

from collections.abc import Callable, Sequence

from strop.chat.conversation import Message
from strop.chat.thoughts import BLOCKS, opens, read_reply

# What a notation may begin or end with; while a text ends in a part of one, it is not known yet what it is.
_MARKS = (
    *(mark.strip() for block in BLOCKS for mark in block),
    *("<|channel|>", "<|message|>", "<|start|>assistant", "<|end|>", "<|call|>", "<|return|>", "<|eom|>", "<|eot|>"),
    *("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
)
_HEADERS = ("<|channel|>", "<|start|>")


class TextStream:
    """Turns tokens into text as they come, never showing half a character.

    One character may span several tokens, and decoding its first ones alone gives U+FFFD; so text is held back while
    it ends in U+FFFD. A token may also read differently without the one before it (a leading space, say), so new text
    is the difference between decoding two windows that start at the same, earlier token. Control tokens are text here:
    they are the notation in which an answer is written. (``tokenizers.decoders.DecodeStream`` does the same, but raises
    an exception where a model with byte tokens writes bytes that make no character.)
    """

    def __init__(self, decode: Callable[..., str], show: Callable[[str], None], before: Sequence[int] = ()):
        self.decode, self.show = decode, show
        self.ids = list(before)  # shown already
        self.window_start = 0  # decoding starts here,
        self.shown_to = len(before)  # and the text of the tokens before this one has been shown
        self.text = ""

    def push(self, token: int) -> None:
        """Take one token and show the text that it completes."""
        self.ids.append(token)
        text = self._pending()
        if text and not text.endswith("\ufffd"):
            self._emit(text)

    def flush(self) -> None:
        """Show what was held back, complete or not."""
        if text := self._pending():
            self._emit(text)

    def _pending(self) -> str:
        seen = self.decode(self.ids[self.window_start : self.shown_to], skip_special_tokens=False)
        return self.decode(self.ids[self.window_start :], skip_special_tokens=False)[len(seen) :]

    def _emit(self, text: str) -> None:
        self.window_start, self.shown_to = self.shown_to, len(self.ids)
        self.text += text
        self.show(text)


class Apart:
    """Shows a growing answer in two: ``think(text)`` gets its reasoning, ``say(text)`` what it says.

    ``tail``: the end of the prompt, which may have opened the reasoning. ``calls``: marks of tool calls; what comes
    after one waits until the answer is read.
    """

    def __init__(self, tail: str, think: Callable[[str], None], say: Callable[[str], None], calls: Sequence[str] = ()):
        self._tail, self._calls = tail, tuple(calls)
        self._think, self._say = think, say
        self._text = self._thought = self._said = ""

    def push(self, text: str) -> None:
        """More of the answer's text, in its notation."""
        self._text += text
        if (known := _known(self._text, self._calls)) is not None:
            self._show(self._read(known))

    def finish(self, message: Message) -> None:
        """The answer is whole; ``message`` is what it was read as."""
        self._show(message)

    def _read(self, text: str) -> Message:
        if not any(opens(self._tail, *block) for block in BLOCKS):
            for opening, closing in BLOCKS:
                if text.lstrip().startswith(opening) and closing not in text:
                    return read_reply(text + closing, self._tail)
        return read_reply(text, self._tail)

    def _show(self, message: Message) -> None:
        thought, said = message.reasoning_content or "", message.content or ""
        # Newlines at the end of what is read so far may turn out to be the notation's.
        for new, old, show in ((thought, self._thought, self._think), (said, self._said, self._say)):
            if new.startswith(old) and new != old:
                show(new[len(old) :])
        self._thought, self._said = max(thought, self._thought, key=len), max(said, self._said, key=len)


def _known(text: str, calls: tuple[str, ...] = ()) -> str | None:
    """The part of a growing text of which it is certain what it is; None where that is nothing."""
    text = text[: min((at for mark in calls if (at := text.find(mark)) >= 0), default=len(text))]
    last = max(text.rfind("<"), text.rfind("["))
    if last >= 0 and any(mark.startswith(text[last:]) and mark != text[last:] for mark in (*_MARKS, *calls)):
        text = text[:last]
    for header in _HEADERS:
        at = text.rfind(header)
        if at >= 0 and "<|message|>" not in text[at:]:
            text = text[:at]
    return text if text.strip() else None
