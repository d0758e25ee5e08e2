"""What ``split`` may say: a split, a slice of it as Hugging Face's ``datasets`` writes them, or several, joined."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from strop.common.errors import InputError

if TYPE_CHECKING:
    from datasets import ReadInstruction

EXAMPLES = "train, train[:100], train[10%:], train[:10%]+train[90%:]"
_PIECE = re.compile(r"(\w[\w.-]*)\s*(|\[.*)", re.DOTALL)
_ROWS_AND_PERCENT = re.compile(r"(?=.*%).*[1-9][\d_]*[:\]]")


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
