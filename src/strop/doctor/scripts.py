"""Which script a text is written in, from its letters alone, however short it is."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache

_NAMES = {
    "CJK": "Han",
    "IDEOGRAPHIC": "Han",
    "HIRAGANA": "Kana",
    "KATAKANA": "Kana",
    "HALFWIDTH": "Kana",
    "HANGUL": "Hangul",
    "BOPOMOFO": "Bopomofo",
    "FULLWIDTH": "Latin",
}
"""First word of the Unicode name of a letter -> its script, where it is not that word."""
LANGUAGES = {
    "Han": "zh",
    "Kana": "ja",
    "Hangul": "ko",
    "Greek": "el",
    "Hebrew": "he",
    "Thai": "th",
    "Armenian": "hy",
    "Georgian": "ka",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Gujarati": "gu",
    "Gurmukhi": "pa",
    "Oriya": "or",
    "Sinhala": "si",
    "Lao": "lo",
    "Khmer": "km",
    "Myanmar": "my",
    "Bopomofo": "zh",
}
"""Scripts that are (nearly) one language's own, so that a few letters tell it."""
_KANA_SHARE = 0.05
_BESIDE = 0.3
"""Share of letters from which on another script counts where most are Latin, as names and terms are everywhere."""


def scripts(text: str) -> Counter[str]:
    """How many letters of each script."""
    counts: Counter[str] = Counter()
    for letter, count in Counter(text).items():
        if (name := _script(letter)) is not None:
            counts[name] += count
    return counts


def script_of(text: str) -> str | None:
    """The script of most letters; of Japanese, Kana; where nearly a third is not Latin, that. None without a letter."""
    counts = scripts(text)
    if not counts:
        return None
    total = counts.total()
    if counts["Kana"] > _KANA_SHARE * (counts["Kana"] + counts["Han"]):
        counts["Kana"] += counts.pop("Han", 0)
    best = counts.most_common(1)[0][0]
    if best == "Latin":
        other = max((name for name in counts if name != "Latin"), key=lambda name: counts[name], default=None)
        if other is not None and counts[other] >= _BESIDE * total:
            return other
    return best


@cache
def _script(letter: str) -> str | None:
    if not letter.isalpha():
        return None
    if letter.isascii():
        return "Latin"
    first = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
    return _NAMES.get(first, first.capitalize()) if first else None
