"""Text as words, the way duplicates and overlaps are looked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# Scripts written without spaces count character by character; elsewhere a word is what \w says.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words(text: str) -> list[str]:
    """Lower-case words; punctuation and white space are left out."""
    return _WORD.findall(text.casefold())


def grams(sequence: Sequence[str], n: int) -> Iterator[str]:
    """Every run of ``n`` words, joined by spaces; none where there are fewer."""
    return (" ".join(sequence[i : i + n]) for i in range(len(sequence) - n + 1))
