"""What ``split`` may say: a split, a slice of it as Hugging Face's ``datasets`` writes them, or several, joined; and
which split a file belongs to, by its name and by the folders that it lies in."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from strop.common.errors import InputError

if TYPE_CHECKING:
    from datasets import ReadInstruction

EXAMPLES = "train, train[:100], train[10%:], train[:10%]+train[90%:]"
_PIECE = re.compile(r"(\w[\w.-]*)\s*(|\[.*)", re.DOTALL)
_ROWS_AND_PERCENT = re.compile(r"(?=.*%).*[1-9][\d_]*[:\]]")
_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_BETWEEN_WORDS = re.compile(r"[-_. 0-9]+")


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of the split ``name``; ``text`` says which, as in ``[10%:]``, and is empty for all of them."""

    name: str
    text: str = ""

    @property
    def whole(self) -> bool:
        return not self.text

    @property
    def needs_length(self) -> bool:
        """Whether the rows it takes depend on how many there are."""
        return "%" in self.text or "-" in self.text

    def instruction(self) -> ReadInstruction:
        """Raises ValueError where ``datasets`` does not understand the text."""
        from datasets import ReadInstruction  # takes a second, and most data are read whole

        return ReadInstruction.from_spec(f"train{self.text}")

    def bounds(self, length: int | None) -> tuple[int, int | None]:
        """``(first, end)`` in rows, from 0, the end excluded; None: all that are left.

        ``length``: rows of the split; may be None where `needs_length` is false. Raises InputError for
        ``pct1_dropremainder`` of fewer than 100 rows, which would take none.
        """
        if self.whole:
            return 0, length
        try:
            [rows] = self.instruction().to_absolute({"train": sys.maxsize if length is None else length})
        except ValueError as error:
            raise InputError(f"{self}: {error} Write another slice.") from None
        return rows.from_, None if rows.to == sys.maxsize else max(rows.from_, rows.to)

    def __str__(self) -> str:
        return self.name + self.text


def parse_split(text: str) -> tuple[Slice, ...]:
    """The slices that a split's text names, in its order. Raises InputError where it names none."""
    return tuple(_slice(part.strip(), text) for part in text.split("+"))


def _slice(part: str, text: str) -> Slice:
    try:
        if (match := _PIECE.fullmatch(part)) is None:
            raise ValueError("it needs a name, and a slice in brackets after it")
        piece = Slice(match[1], re.sub(r"\s", "", match[2]))
        if _ROWS_AND_PERCENT.match(piece.text):
            raise ValueError("one end is in rows and the other in per cent; use one of them")
        if not piece.whole:
            piece.instruction()
        return piece
    except ValueError as error:
        raise InputError(
            f"split {text!r}: {part!r} is no split and no slice of one ({error}); write for example {EXAMPLES}."
        ) from None


def names_of(text: str) -> tuple[str, ...]:
    """The splits that it names, each once. Raises InputError as `parse_split` does."""
    return tuple(dict.fromkeys(part.name for part in parse_split(text)))


def split_named(name: str) -> str | None:
    """The split that a word names: ``dev`` is ``validation``. None where it names none."""
    return _NAMES.get(name.lower())


def known_as(name: str) -> str:
    """The split that a word names, or the word itself."""
    return split_named(name) or name


def split_of(path: Path) -> str | None:
    """The split that a file, or else the nearest folder of its path, is named after.

    As ``datasets`` goes by names: a split's name that stands as a word of its own anywhere in the name counts, so
    ``unit_test.jsonl`` and ``test_data.jsonl`` are ``test`` and ``web_dev.jsonl`` is ``validation``; of several the
    last. What is left out of a folder for it is always said.
    """
    word = split_word(path)
    return None if word is None else split_named(word)


def split_word(path: Path) -> str | None:
    """The word for a split that `split_of` goes by, in lower case."""
    for name in (path.name.partition(".")[0], *reversed(path.parts[:-1])):
        found = [word.lower() for word in _BETWEEN_WORDS.split(name) if split_named(word)]
        if found:
            return found[-1]
    return None
