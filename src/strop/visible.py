"""Text from data and models made fit to be looked at: no character stays unseen or steers what shows it."""

from __future__ import annotations

import unicodedata

JOINERS = "\u200c\u200d"
"""They belong to ordinary writing: emoji sequences, Persian, Indic scripts."""


class _Marks(dict):
    """For `str.translate`: what stands for each character, worked out when it is first met."""

    def __missing__(self, code: int) -> str | int:
        category = unicodedata.category(chr(code))
        if code < 0x20:
            mark = chr(0x2400 + code)
        elif code == 0x7F:
            mark = "\N{SYMBOL FOR DELETE}"
        elif category == "Cs":  # half of a surrogate pair, which no encoding can write
            mark = "\N{REPLACEMENT CHARACTER}"
        elif category in ("Cc", "Cf", "Zl", "Zp"):
            mark = code_point(code)
        else:
            mark = code
        self[code] = mark
        return mark


def code_point(code: int) -> str:
    """``‹U+200B›``: a character named instead of shown."""
    return f"\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}U+{code:04X}\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


_ALL = _Marks({ord(c): c for c in "\n\t"})
_BUT_JOINERS = _Marks({ord(c): c for c in "\n\t" + JOINERS})


def visible(text: str, joiners: bool = True) -> str:
    """Control characters (but newline and tab) as their pictures, format characters by their code points.

    Format characters are those that say how others are shown: direction overrides, zero-width spaces, tags. With
    ``joiners`` the two that ordinary writing needs are named too.
    """
    return text.translate(_ALL if joiners else _BUT_JOINERS)


def one_line(text: str) -> str:
    """`visible`, with newlines and tabs as marks too."""
    return visible(text).replace("\n", "↵").replace("\t", "⇥")
