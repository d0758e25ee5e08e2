"""Which languages are spoken, and answers in another language than the question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from strop.doctor.findings import Finding, Tally
from strop.doctor.rows import Row

MOST_ROWS = 20_000
"""More rows are sampled evenly: about 0.3 ms each."""

_CODE = re.compile(r"```.*?(```|\Z)|`[^`\n]*`|https?://\S+|<[^>]*>", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")
_LEAST_LETTERS, _SURE_LETTERS = 20, 40
_LEAST_PROBABILITY, _SURE_PROBABILITY = 0.8, 0.97


@dataclass(frozen=True, slots=True)
class Languages:
    """Share of conversations by language of the user and of the assistant; ``?`` is too short or unsure."""

    user: dict[str, float]
    assistant: dict[str, float]
    rows: int


def check_languages(rows: Sequence[Row]) -> tuple[Languages, list[Finding]]:
    """Language by py3langid (Lui & Baldwin's langid.py, 2012), code and addresses left out."""
    step = max(1, -(-len(rows) // MOST_ROWS))
    user, assistant, tally = Counter(), Counter(), Tally()
    looked = rows[::step]
    for row in looked:
        asked, answered = row.user_text(), "\n".join(row.answers())
        first, second = identify(asked), identify(answered)
        user[first[0]] += 1
        assistant[second[0]] += 1
        if first[0] != second[0] and _sure(first) and _sure(second):
            text = f"asked in {first[0]}, answered in {second[0]}: {answered}"
            tally.add("language_mismatch", row.place, text)
    mix = Languages(_shares(user), _shares(assistant), len(looked))
    if not tally.counts["language_mismatch"]:
        return mix, []
    share = tally.counts["language_mismatch"] / len(looked)
    seen = "" if step == 1 else f" of the {len(looked):,} looked at"
    message = f"{{n}} ⟨conversation|conversations⟩{seen} ({share:.1%}) answered in another language than asked in"
    mend = "fine for translation; otherwise the model learns to change language"
    return mix, [tally.finding("language_mismatch", "warning", message, mend)]


def identify(text: str) -> tuple[str, float, int]:
    """``(language, probability, letters)``; the language is ``?`` where there is too little text or certainty."""
    prose = _CODE.sub(" ", text)
    letters = len(_LETTER.findall(prose))
    if letters < _LEAST_LETTERS:
        return "?", 0.0, letters
    language, probability = _classifier()(prose)
    return (language if probability >= _LEAST_PROBABILITY else "?"), float(probability), letters


def _sure(identified: tuple[str, float, int]) -> bool:
    language, probability, letters = identified
    return language != "?" and probability >= _SURE_PROBABILITY and letters >= _SURE_LETTERS


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = max(1, counts.total())
    return {language: count / total for language, count in counts.most_common()}


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # half a second to load

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True).classify
