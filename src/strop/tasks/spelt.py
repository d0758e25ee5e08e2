"""The letters that a text spells a word with."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LETTER = re.compile(
    r"""(?<![\w'’])(?:[*_`"'“‘(\[{]{0,4})(?<![a-zA-Z])([a-zA-Z])(?![a-zA-Z])(?!['’][a-zA-Z])[*_`"'”’)\]}]{0,4}"""
)
_BETWEEN = (  # what may stand between two letters, and what it is called
    ("soft", re.compile(r"\s*[,，、;/|·]\s*(?:(?:and|then)\s+)?|\s*(?:[-–—‐‑]+>?|→)\s*|\s+and\s+")),
    ("space", re.compile(r"[ \t]+")),
    ("dot", re.compile(r"\.")),
    ("dot and space", re.compile(r"\.\s+")),
    ("number", re.compile(r"[ \t]*[,.;]?[ \t]*\n\s*\d+[.):]\s*")),
    ("bullet", re.compile(r"[ \t]*[,.;]?[ \t]*\n\s*[-*•+]\s+")),
    ("line", re.compile(r"[ \t]*\n[ \t]*")),
)
_LOOSE = ("soft", "space")  # these may take turns
_GOES_ON = re.compile(r"[ \t]+[a-zA-Z]{2}")
_LEAST = 3  # letters; "e.g." and "I, a model" spell nothing


def spelt_letters(text: str) -> str | None:
    """The last row of single letters in small letters, or None where there is none.

    They stand between commas, hyphens or spaces; or between full stops, or each in a line of its own, bulleted or
    numbered, from the first to the last. So a word of one letter that begins the next sentence is none of them.
    """
    letters = list(_LETTER.finditer(text))
    rows: list[list[tuple[re.Match[str], str]]] = []  # letters, each with what stands before it
    for before, letter in zip([None, *letters], letters, strict=False):
        kind = "" if before is None else _kind(text[before.end() : letter.start()])
        if before is None or not kind:
            rows.append([(letter, "")])
        elif len(rows[-1]) == 1 or kind == rows[-1][-1][1] or (kind in _LOOSE and rows[-1][-1][1] in _LOOSE):
            rows[-1].append((letter, kind))
        else:
            rows.append([(before, ""), (letter, kind)])
    spelt = [word for row in rows if len(word := _without_words(text, row)) > 1]
    long = [word for word in spelt if len(word) >= _LEAST]
    return next(reversed(long or spelt), None)


def _kind(between: str) -> str:
    return next((name for name, pattern in _BETWEEN if pattern.fullmatch(between)), "")


def _without_words(text: str, row: Sequence[tuple[re.Match[str], str]]) -> str:
    """The row's letters without words of one letter at its ends, which are set off otherwise than the others."""
    row = list(row)
    if len(row) > 2:
        last, kind = row[-1]
        other = kind in ("dot and space", "line") or (kind == "space" and row[-2][1] != kind)
        if other and last[1] in "aAI" and _GOES_ON.match(text, last.end()):
            row.pop()
    if (
        len(row) > 2
        and row[1][1] == "space" != row[2][1]
        and re.search(r"[a-zA-Z]{2}[ \t]+\Z", text[: row[0][0].start()])
    ):
        row = row[1:]
    return "".join(letter[1] for letter, _ in row).lower()
