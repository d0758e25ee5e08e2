"""Plain text, as in pretraining: every token is trained, and what is too long goes on in the next window."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from strop.chat.codec import Codec
from strop.chat.inspection import Inspection, Segment, build_example
from strop.chat.origin import code
from strop.chat.tokens import Tokens
from strop.chat.traced import relabel
from strop.common.errors import InputError


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


def text_ids(text: str, codec: Codec) -> list[int]:
    """The ids of a text alone; control strings in it are ordinary text."""
    return codec.tokens(relabel(text, code(0, "content")), (), "text").ids


def document_ids(text: str, codec: Codec) -> list[int]:
    """A text as a model that is to go on from it reads it: after the token that begins a document, once, where the
    tokenizer writes one. Control strings in it are ordinary text."""
    start, string = codec.document_start
    return [*start, *text_ids(text.removeprefix(string) if string else text, codec)]


def encode_text(codec: Codec, document: Text) -> tuple[Tokens, Iterator[Inspection]]:
    """The tokens of a document, and its examples: windows of ``max_length`` (or the codec's ``window``) tokens over it
    and the end token. No chat template is needed.

    ``control_tokens`` says what the strings of control tokens become; ``train_on``, ``token_weights`` and ``too_long``
    are about turns and do not count here.

    Raises:
        InputError: when the tokenizer has no end token, or the text holds a control string that the settings refuse.
    """
    tokens = codec.tokens(relabel(document.text, code(0, "content")), {0}, document.place)
    if codec.document_end is None:
        raise InputError(
            f"{document.place}: the tokenizer has no end token (eos_token), so no text could be seen to end"
        )
    (first, opening), (last, closing) = codec.document_start, codec.document_end
    shift = len(opening)
    text = f"{opening}{document.text}{closing}"
    starts = [*(0 for _ in first), *(at + shift for at in tokens.starts), shift + len(document.text)]
    ends = [*(shift for _ in first), *(at + shift for at in tokens.ends), len(text)]
    tokens = Tokens([*first, *tokens.ids, last], starts, ends, [], tokens.control_strings)
    return tokens, _windows(text, tokens, codec.settings.max_length or codec.window, document)


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
        example = build_example(stretch, Tokens(ids, starts, ends, [], []), weights, [], document.place)
        trained_from = min(starts[1], len(stretch)) if len(ids) > 1 else len(stretch)
        borders = ((0, trained_from, False), (trained_from, len(stretch), True))
        segments = [Segment(a, b, stretch[a:b], 0, "text", "content", trained) for a, b, trained in borders if b > a]
        stops = [len(ids) - 1] if last == len(tokens.ids) else []
        yield Inspection(document.place, stretch, example, starts, ends, stops, segments, [])
