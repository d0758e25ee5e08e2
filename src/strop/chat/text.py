"""Plain text, as in pretraining: every token is trained, and what is too long goes on in the next window."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from strop.chat.example import Example, build_example
from strop.chat.inspection import Inspection, Segment
from strop.chat.origin import code
from strop.chat.tokens import Tokens
from strop.chat.traced import relabel
from strop.errors import InputError

if TYPE_CHECKING:
    from strop.chat.encode import ChatEncoder


@dataclass(frozen=True, slots=True)
class Text:
    """A document without turns, where it was read, and what multiplies the loss of its tokens."""

    text: str
    place: str = "text"
    weight: float = 1.0
    notes: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def format(self) -> str:
        return "text"


class Document(dict):
    """A row out of a file of plain text, ``{"text": …}``: text to train on without anybody saying so."""


class Borders:
    """The tokens around a document: the tokenizer's end token, and its first token where it writes one by itself."""

    def __init__(self, tokenizer: Any):
        self.end: tuple[int, str] | None = None
        if tokenizer.eos_token_id is not None:
            self.end = (tokenizer.eos_token_id, tokenizer.eos_token)
        self.start: tuple[int, str] | None = None
        first = tokenizer.backend_tokenizer.encode("", add_special_tokens=True).ids[:1]
        if tokenizer.bos_token_id is not None and first == [tokenizer.bos_token_id]:
            self.start = (tokenizer.bos_token_id, tokenizer.bos_token)

    def around(self, text: str, tokens: Tokens, place: str) -> tuple[str, Tokens]:
        if self.end is None:
            raise InputError(f"{place}: the tokenizer has no end token (eos_token), so no text could be seen to end")
        ids, starts, ends = tokens.ids, tokens.starts, tokens.ends
        if self.start is not None:
            index, name = self.start
            ids, text = [index, *ids], name + text
            starts = [0, *(at + len(name) for at in starts)]
            ends = [len(name), *(at + len(name) for at in ends)]
        index, name = self.end
        ids, starts, ends = [*ids, index], [*starts, len(text)], [*ends, len(text) + len(name)]
        return text + name, Tokens(ids, starts, ends, [], tokens.control_strings)


def encode_text(encoder: "ChatEncoder", document: Text) -> Iterator[Inspection]:
    """The examples of a document: windows of ``max_length`` (or the encoder's ``window``) tokens over it and the end
    token. No chat template is needed.

    ``control_tokens`` says what the strings of control tokens become; ``train_on``, ``token_weights`` and ``too_long``
    are about turns and do not count here.

    Raises:
        InputError: when the tokenizer has no end token, or the text holds a control string that the settings refuse.
    """
    tokens = encoder._tokens(relabel(document.text, code(0, "content")), {0}, document.place)
    text, tokens = encoder.borders.around(document.text, tokens, document.place)
    report = encoder.report
    report.conversations += 1
    report.control_strings += len(tokens.control_strings)
    report.control_string_kinds.update(tokens.control_strings)
    count = 0
    for shown in _windows(text, tokens, encoder.settings.max_length or encoder.window, document):
        count += 1
        report.examples += 1
        report.tokens += len(shown.example.tokens)
        report.trained_tokens += shown.example.trained_tokens
        yield shown
    report.split += count > 1


def _windows(text: str, tokens: Tokens, max_length: int | None, document: Text) -> Iterator[Inspection]:
    """Windows that together train each token but the very first exactly once.

    The first token of a sequence has nothing before it to be predicted from. So every window but the first begins with
    the last token of the one before, untrained.
    """
    size = len(tokens.ids) if max_length is None else max(max_length, 2)
    for first in range(0, max(len(tokens.ids) - 1, 1), max(size - 1, 1)):
        last = min(first + size, len(tokens.ids))
        start, end = tokens.starts[first] if first else 0, tokens.ends[last - 1]
        ids = tokens.ids[first:last]
        starts = [at - start for at in tokens.starts[first:last]]
        ends = [at - start for at in tokens.ends[first:last]]
        weights = [0.0] + [document.weight] * (len(ids) - 1)
        stretch = text[start:end]
        example: Example = build_example(stretch, Tokens(ids, starts, ends, [], []), weights, [], document.place)
        trained_from = min(starts[1], len(stretch)) if len(ids) > 1 else len(stretch)
        borders = ((0, trained_from, False), (trained_from, len(stretch), True))
        segments = [Segment(a, b, stretch[a:b], 0, "text", "content", trained) for a, b, trained in borders if b > a]
        stops = [len(ids) - 1] if last == len(tokens.ids) else []
        yield Inspection(document.place, stretch, example, starts, ends, stops, segments, [])
