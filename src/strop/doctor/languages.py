"""Which languages are spoken, and answers in another language than the question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from strop.doctor.findings import Finding, Tally
from strop.doctor.rows import ReadRow
from strop.doctor.scripts import LANGUAGES, script_of

MOST_ROWS = 20_000
"""More rows are sampled evenly: about 0.3 ms each."""

_CODE = re.compile(r"```.*?(```|\Z)|`[^`\n]*`|https?://\S+|<[^>]*>", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")
_LEAST_LETTERS, _SURE_LETTERS = 20, 40
_SURE_OF_OWN_SCRIPT = 4
_MOST_TEXT = 20_000
"""Characters looked at of a document."""
_OWN_SCRIPT = frozenset(LANGUAGES.values())
_LEAST_PROBABILITY, _SURE_PROBABILITY = 0.8, 0.97


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
    user, assistant, tally = Counter(), Counter(), Tally()
    written: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    texts, text_scripts = Counter(), Counter()
    looked = rows[::step]
    for row in looked:
        if not row.messages:
            text = next(row.texts())[:_MOST_TEXT]
            texts[identify(text)[0]] += 1
            text_scripts[script_of(prose(text)) or "none"] += 1
            continue
        asked, answered = row.user_text(), "\n".join(row.answers())
        first, second = identify(asked), identify(answered)
        user[first[0]] += 1
        assistant[second[0]] += 1
        for counts, text in zip(written, (asked, answered), strict=True):
            counts[script_of(prose(text)) or "none"] += 1
        if first[0] != second[0] and _sure(first) and _sure(second):
            text = f"asked in {first[0]}, answered in {second[0]}: {answered}"
            tally.add("language_mismatch", row.place, text)
    mix = Languages(
        _shares(user), _shares(assistant), len(looked), *map(_shares, written), _shares(texts), _shares(text_scripts)
    )
    if not tally.counts["language_mismatch"]:
        return mix, []
    share = tally.counts["language_mismatch"] / len(looked)
    seen = "" if step == 1 else f" of the {len(looked):,} looked at"
    message = f"{{n}} ⟨conversation|conversations⟩{seen} ({share:.1%}) answered in another language than asked in"
    mend = "fine for translation; otherwise the model learns to change language"
    return mix, [tally.finding("language_mismatch", "warning", message, mend)]


def prose(text: str) -> str:
    """Code and addresses left out."""
    return _CODE.sub(" ", text)


def identify(text: str) -> tuple[str, float, int]:
    """``(language, probability, letters)``.

    Where a script is one language's own, its letters tell the language, however few they are. Of little text in
    another script that is not Latin, the script is named. ``?``: too little text, or not certain.
    """
    text = prose(text)
    letters = len(_LETTER.findall(text))
    script = script_of(text)
    if script in LANGUAGES:
        return LANGUAGES[script], 1.0, letters
    short = "?" if script in (None, "Latin") else script
    if letters < _LEAST_LETTERS:
        return short, 0.0, letters
    language, probability = _classifier()(text)
    return (language if probability >= _LEAST_PROBABILITY else short), float(probability), letters


def _sure(identified: tuple[str, float, int]) -> bool:
    language, probability, letters = identified
    least = _SURE_OF_OWN_SCRIPT if language in _OWN_SCRIPT else _SURE_LETTERS
    return language != "?" and probability >= _SURE_PROBABILITY and letters >= least


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = max(1, counts.total())
    return {language: count / total for language, count in counts.most_common()}


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # half a second to load

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True).classify
