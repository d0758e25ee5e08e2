"""Answers that all say the same, or nothing: placeholders that were never filled in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from strop.doctor.findings import Finding, Tally
from strop.doctor.rows import ReadRow

LEAST_ANSWERS = 10
"""Fewer say too little about the rest."""
MOSTLY, OFTEN = 0.5, 0.2
"""Shares of one answer from which on it is a warning, and a note."""
SAME_ANSWER = (
    "fine for labels; otherwise a placeholder was never filled in, and the model learns to say it to everything"
)
_NOTHING = frozenset(
    ("n a", "na", "none", "null", "nan", "nil", "todo", "tbd", "placeholder", "undefined", "no answer", "empty", "无")
)
_WORD = re.compile(r"[^\W_]+")


def check_answers(rows: Sequence[ReadRow]) -> Iterator[Finding]:
    """One answer that most conversations give, and answers that hardly say anything."""
    answers = [(row, text) for row in rows for text in trained_answers(row)]
    hollow = Tally()
    for row, text in answers:
        if is_hollow(text):
            hollow.add("hollow_answer", row.place, text)
    if count := hollow.counts["hollow_answer"]:
        share = count / len(answers)
        message = f"{{n}} ⟨answer says|answers say⟩ nothing ({share:.1%} of {len(answers):,}): no word, or one like N/A"
        mend = "drop these rows, or give them answers; the model learns to answer so"
        yield hollow.finding("hollow_answer", "warning" if share >= 0.05 else "note", message, mend)
    if len(answers) < LEAST_ANSWERS:
        return
    common, count = Counter(same(text) for _, text in answers).most_common(1)[0]
    share = count / len(answers)
    if share < OFTEN or is_hollow(common):
        return
    tally = Tally()
    for row, text in answers:
        if same(text) == common:
            tally.add("same_answer", row.place, text)
    which = "all" if count == len(answers) else f"{count:,} of {len(answers):,}"
    message = f"{which} answers ({share:.1%}) are the same text (letter case and spaces aside)"
    yield tally.finding("same_answer", "warning" if share >= MOSTLY else "note", message, SAME_ANSWER)


def trained_answers(row: ReadRow) -> Iterator[str]:
    """The text of the assistant turns of a row that are trained and have some."""
    return (m.content for m in row.messages if m.loss_weight and m.content and not m.tool_calls)


def same(text: str) -> str:
    """What two answers have alike that differ in letter case and white space only."""
    return " ".join(text.casefold().split())


def is_hollow(text: str) -> bool:
    """Whether there is no letter, digit or sign to be learnt, or a word that stands for a missing answer."""
    said = _WORD.findall(text.casefold())
    if not said:
        return all(c in ".-_…?!*#/\\|[](){}<>'\"` \t\r\n" for c in text)
    return " ".join(said) in _NOTHING
