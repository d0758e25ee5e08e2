"""Which languages and scripts are written, and answers in another language than the question."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from strop.doctor.findings import Finding, Tally
from strop.doctor.rows import ReadRow

MOST_ROWS = 20_000
"""More rows are sampled evenly: about 0.3 ms each."""

_CODE = re.compile(r"```.*?(```|\Z)|`[^`\n]*`|https?://\S+|<[^>]*>", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")
_LEAST_LETTERS, _SURE_LETTERS = 20, 40
_SURE_OF_OWN_SCRIPT = 4
_MOST_TEXT = 20_000
"""Characters looked at of a document."""
_LEAST_PROBABILITY, _SURE_PROBABILITY = 0.8, 0.97

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


@dataclass(frozen=True, slots=True)
class Languages:
    """Share of conversations by language of the user and of the assistant, and by script; of plain text, ``text``.

    ``?`` is too short or unsure; a script stands for its language where the language is not told. Scripts are told from
    letters alone; ``none``: not one letter.
    """

    user: dict[str, float]
    assistant: dict[str, float]
    rows: int
    user_scripts: dict[str, float]
    assistant_scripts: dict[str, float]
    text: dict[str, float]
    text_scripts: dict[str, float]


def check_languages(rows: Sequence[ReadRow]) -> tuple[Languages, list[Finding]]:
    """Language by py3langid (Lui & Baldwin's langid.py, 2012), code and addresses left out."""
    step = max(1, -(-len(rows) // MOST_ROWS))
    looked, tally = rows[::step], Tally()
    counts = {f"{who}{what}": Counter[str]() for who in ("user", "assistant", "text") for what in ("", "_scripts")}

    def count(who: str, text: str) -> Identified:
        found = identify(text)
        counts[who][found.language] += 1
        counts[f"{who}_scripts"][found.script or "none"] += 1
        return found

    for row in looked:
        if not row.messages:
            count("text", next(row.texts())[:_MOST_TEXT])
            continue
        answered = "\n".join(row.answers())
        first, second = count("user", row.user_text()), count("assistant", answered)
        if first.language != second.language and first.sure and second.sure:
            text = f"asked in {first.language}, answered in {second.language}: {answered}"
            tally.add("language_mismatch", row.place, text)
    shares = {
        name: {language: n / found.total() for language, n in found.most_common()} for name, found in counts.items()
    }
    share = tally.counts["language_mismatch"] / max(1, len(looked))
    seen = "" if step == 1 else f" of the {len(looked):,} looked at"
    message = f"{{n}} ⟨conversation|conversations⟩{seen} ({share:.1%}) answered in another language than asked in"
    mend = "fine for translation; otherwise the model learns to change language"
    return Languages(rows=len(looked), **shares), tally.findings({"language_mismatch": ("warning", message, mend)})


class Identified(NamedTuple):
    """What a text is written in; ``letters``: how many say so."""

    language: str
    probability: float
    letters: int
    script: str | None

    @property
    def sure(self) -> bool:
        least = _SURE_OF_OWN_SCRIPT if self.language in LANGUAGES.values() else _SURE_LETTERS
        return self.language != "?" and self.probability >= _SURE_PROBABILITY and self.letters >= least


def identify(text: str) -> Identified:
    """The language of prose: code and addresses are left out.

    Where a script is one language's own, its letters tell the language, however few they are. Of little text in
    another script that is not Latin, the script is named. ``?``: too little text, or not certain.
    """
    text = _CODE.sub(" ", text)
    letters, script = len(_LETTER.findall(text)), script_of(text)
    if script in LANGUAGES:
        return Identified(LANGUAGES[script], 1.0, letters, script)
    short = "?" if script in (None, "Latin") else script
    if letters < _LEAST_LETTERS:
        return Identified(short, 0.0, letters, script)
    language, probability = _classifier()(text)
    return Identified(language if probability >= _LEAST_PROBABILITY else short, float(probability), letters, script)


def script_of(text: str) -> str | None:
    """The script of most letters; of Japanese, Kana; where nearly a third is not Latin, that. None without a letter."""
    counts: Counter[str] = Counter()
    for letter, count in Counter(text).items():
        if (name := _script(letter)) is not None:
            counts[name] += count
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


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # half a second to load

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True).classify
