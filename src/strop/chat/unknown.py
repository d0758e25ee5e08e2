"""Characters that a tokenizer has no token for: some make one token of them all, some leave them out."""

from collections.abc import Sequence
from typing import Any

from strop.chat.origin import TEMPLATE, decode

# Two characters of Tangut, which no vocabulary is made for. A tokenizer that falls back to bytes tells them apart.
_RARE = ("\U00017000", "\U00017001")


class Unknown:
    """What the backend of a tokenizer does with a character that is not in its vocabulary.

    ``token``: the id that it gives all of them; None where it has none, because it writes bytes or leaves them out.
    """

    def __init__(self, backend: Any, named: int | None):
        first, second = (backend.encode(rare, add_special_tokens=False).ids for rare in _RARE)
        self._backend = backend
        self._leaves_out = not first and not second
        self.token: int | None = first[-1] if first and first == second else named

    def left_out(self, text: str, trace: str, offsets: Sequence[tuple[int, int]]) -> int | None:
        """Where the first character of a message stands that was left out; white space may go."""
        if not self._leaves_out:
            return None
        at = 0
        for start, end in (*offsets, (len(text), len(text))):
            if text[at:start].strip():  # within a word, the offsets after it are off by what was left out
                first = next((i for i in range(at, 0, -1) if text[i - 1].isspace()), 0)
                last = next((i for i in range(start, len(text)) if text[i].isspace()), len(text))
                own = (i for i in range(first, last) if trace[i] != TEMPLATE)
                found = next((i for i in own if self._is_left_out(text[i])), None)
                if found is not None:
                    return found
            at = max(at, end)
        return None

    def _is_left_out(self, character: str) -> bool:
        return not character.isspace() and not self._backend.encode(character, add_special_tokens=False).ids

    def within(self, text: str, start: int, end: int) -> int:
        """Which character of an unknown token is the unknown one: the token may hold a whole word."""
        for at in range(start, end):
            if self.token in self._backend.encode(text[at], add_special_tokens=False).ids:
                return at
        return start


def unknown_words(text: str, trace: str, at: int) -> str:
    """What is said of the character at ``at``: itself, and its place in the message that it is from."""
    message, field = decode(trace[at])
    where = field if message is None or message < 0 else f"messages[{message}].{field}"
    place = "the template's own text" if message is None else f"{where}, at character {trace[:at].count(trace[at])}"
    start, end = at, at + 1
    while start > max(at - 20, 0) and trace[start - 1] == trace[at]:
        start -= 1
    while end < min(at + 20, len(text)) and trace[end] == trace[at]:
        end += 1
    return (
        f"the tokenizer has no token for {text[at]!r} (U+{ord(text[at]):04X}) in {place} ({text[start:end]!r}); "
        "take it out of the data, or use a model whose tokenizer has it"
    )
