"""Text from data and models made fit to be looked at: no character stays unseen or steers what shows it."""

from __future__ import annotations

import unicodedata


class _Marks(dict):
    """For `str.translate`: what stands for each character, worked out when it is first met.

    ``named``: the Unicode categories whose characters are named instead of shown.
    """

    def __init__(self, named: tuple[str, ...], kept: str):
        super().__init__({ord(character): character for character in kept})
        self._named = named

    def __missing__(self, code: int) -> str | int:
        category = unicodedata.category(chr(code))
        mark: str | int
        if code < 0x20:
            mark = chr(0x2400 + code)
        elif code == 0x7F:
            mark = "\N{SYMBOL FOR DELETE}"
        elif category == "Cs":  # half of a surrogate pair, which no encoding can write
            mark = "\N{REPLACEMENT CHARACTER}"
        elif category in self._named:
            mark = code_point(code)
        else:
            mark = code
        self[code] = mark
        return mark


def code_point(code: int) -> str:
    """``‹U+200B›``: a character named instead of shown."""
    return f"\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}U+{code:04X}\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


_STRICT = _Marks(("Cc", "Cf", "Zl", "Zp", "Zs"), kept="\n\t ")
# Kept too: joiners, which emoji sequences, Persian and Indic scripts need.
_LENIENT = _Marks(("Cc", "Cf", "Zl", "Zp"), kept="\n\t\u200c\u200d")


def visible(text: str, strict: bool = True) -> str:
    """Control characters (but newline and tab) as their pictures, format characters by their code points.

    Format characters are those that say how others are shown: direction overrides, zero-width spaces, tags. With
    ``strict`` also joiners and all spaces but the usual one are named, which ordinary writing has too.
    """
    return text.translate(_STRICT if strict else _LENIENT)


def one_line(text: str) -> str:
    """`visible`, with newlines and tabs as marks too."""
    return visible(text).replace("\n", "↵").replace("\t", "⇥")
