"""The turns of conversations: their order, empty ones, and answers that look wrong or all say the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from strop.chat import Message
from strop.doctor.findings import Finding, Kinds, Tally
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
_FENCE = re.compile(r"^\s{0,3}(```|~~~)", re.MULTILINE)
_LIST_OR_CODE = re.compile(r"^\s*([-*+•|>]|\d+[.)]|\$|#)")
_ASIDE = ("system", "developer")
_LEAST_WORDS = 20
"""Shorter answers often end without a full stop, on purpose."""


def check_turns(rows: Sequence[ReadRow]) -> list[Finding]:
    """Everything that can be seen without a tokenizer."""
    tally = Tally()
    for row in rows:
        for kind, text in (*_order(row.messages), *_odd(row.messages)):
            tally.add(kind, row.place, text)
    return [*tally.findings(_KINDS), *_extreme_lengths(rows)]


def _order(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """``(kind, text)`` of every turn that stands where a chat does not have it."""
    spoken = [m for m in messages if m.role not in _ASIDE]
    if spoken and spoken[0].role == "assistant":
        yield "assistant_first", spoken[0].content or "(tool call)"
    if messages and messages[-1].role == "user":
        yield "unanswered", messages[-1].content or ""
    for before, message in zip((None, *messages), messages, strict=False):
        role, last, text = message.role, before and before.role, message.content or ""
        if role in _ASIDE and last not in (None, *_ASIDE):
            yield "late_system", text
        elif role == last == "user":
            yield "user_after_user", text
        elif role == last == "assistant":
            yield "assistant_after_assistant", text or "(tool call)"
        elif role == "tool" and not (before and (before.tool_calls or last == "tool")):
            yield "tool_without_call", text


def _odd(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """Turns that say nothing, and trained answers that seem to be cut off: a guess from their last line, no more."""
    for index, message in enumerate(messages):
        text = (message.content or "").rstrip()
        if is_empty(message):
            yield "blank_turn", f"message {index} ({message.role}): {message.content!r}"
        elif not message.loss_weight or not text or message.tool_calls:
            continue
        elif len(_FENCE.findall(text)) % 2:
            yield "open_code_fence", text[-100:]
        elif ends_in_the_middle(text):
            yield "cut_answer", text[-100:]


def is_empty(message: Message) -> bool:
    """No text but white space, and no tool call or reasoning instead."""
    return not ((message.content or "").strip() or message.tool_calls or (message.reasoning_content or "").strip())


def ends_in_the_middle(text: str) -> bool:
    """Whether prose stops at a comma or in a word that no sentence ends with a full stop after."""
    last = text[text.rfind("\n") + 1 :]
    if len(text.split()) < _LEAST_WORDS or _LIST_OR_CODE.match(last) or len(last.split()) < 4:
        return False
    return last[-1] in ",;([{" or (last[-1].isalpha() and last[-1].islower() and "://" not in last)


def _extreme_lengths(rows: Sequence[ReadRow]) -> list[Finding]:
    """Answers far from the others: one word where answers are long, or twenty times the median."""
    lengths = [(len(answer.split()), row, answer) for row in rows for answer in row.answers() if answer.strip()]
    if len(lengths) < LEAST_ANSWERS:
        return []
    middle = median(length for length, _, _ in lengths)
    tally = Tally()
    for length, row, answer in lengths:
        if length <= 1 and middle >= 20 and len(answer) < 20:
            tally.add("short_answer", row.place, answer)
        elif length > max(500, 20 * middle):
            tally.add("long_answer", row.place, f"{length:,} words: {answer}")
    return tally.findings(
        {
            "short_answer": (
                "note",
                f"{{n}} ⟨answer is|answers are⟩ one word, where the middle one has {middle:,.0f} words",
                "look whether they are whole; drop them if not",
            ),
            "long_answer": (
                "note",
                f"{{n}} ⟨answer is|answers are⟩ more than 20 times as long as the middle one ({middle:,.0f} words)",
                "look at them: logs and loops end up here",
            ),
        }
    )


def check_answers(rows: Sequence[ReadRow]) -> Iterator[Finding]:
    """One answer that most conversations give, and answers that hardly say anything."""
    answers = [
        (row, m.content) for row in rows for m in row.messages if m.loss_weight and m.content and not m.tool_calls
    ]
    if not answers:
        return
    same = [" ".join(text.casefold().split()) for _, text in answers]
    common, count = Counter(same).most_common(1)[0]
    tally = Tally()
    for (row, text), alike in zip(answers, same, strict=True):
        if is_hollow(text):
            tally.add("hollow_answer", row.place, text)
        if alike == common:
            tally.add("same_answer", row.place, text)
    share = tally.counts["hollow_answer"] / len(answers)
    message = f"{{n}} ⟨answer says|answers say⟩ nothing ({share:.1%} of {len(answers):,}): no word, or one like N/A"
    mend = "drop these rows, or give them answers; the model learns to answer so"
    yield from tally.findings({"hollow_answer": ("warning" if share >= 0.05 else "note", message, mend)})
    share = count / len(answers)
    if len(answers) < LEAST_ANSWERS or share < OFTEN or is_hollow(common):
        return
    which = "all" if count == len(answers) else f"{count:,} of {len(answers):,}"
    message = f"{which} answers ({share:.1%}) are the same text (letter case and spaces aside)"
    yield tally.finding("same_answer", "warning" if share >= MOSTLY else "note", message, SAME_ANSWER)


def is_hollow(text: str) -> bool:
    """Whether there is no letter, digit or sign to be learnt, or a word that stands for a missing answer."""
    said = _WORD.findall(text.casefold())
    if not said:
        return all(c in ".-_…?!*#/\\|[](){}<>'\"` \t\r\n" for c in text)
    return " ".join(said) in _NOTHING


_KINDS: Kinds = {
    "blank_turn": (
        "warning",
        "{n} ⟨turn is|turns are⟩ empty or white space",
        "drop them; --fix OUT takes out the exchange that each belongs to",
    ),
    "assistant_first": (
        "warning",
        "{n} ⟨conversation begins|conversations begin⟩ with the assistant",
        "put the user's turn first: some templates refuse it, and serving never sees it",
    ),
    "user_after_user": (
        "warning",
        "{n} user ⟨turn follows|turns follow⟩ a user turn",
        "join them, or find the answer that was lost between them",
    ),
    "assistant_after_assistant": (
        "warning",
        "{n} assistant ⟨turn follows|turns follow⟩ an assistant turn",
        "join them, or find the user's turn that was lost between them",
    ),
    "late_system": (
        "warning",
        "{n} system ⟨turn stands|turns stand⟩ in the middle of a conversation",
        "move them to the front: many templates print only the first message as one",
    ),
    "tool_without_call": (
        "warning",
        "{n} tool ⟨result follows|results follow⟩ no tool call",
        "give the assistant turn before it its tool_calls, or drop the result",
    ),
    "unanswered": (
        "note",
        "{n} ⟨conversation ends|conversations end⟩ with a user turn; it is read, but nothing after it is learnt",
        "add the answer or cut the turn off",
    ),
    "open_code_fence": (
        "note",
        "{n} ⟨answer leaves|answers leave⟩ a code fence open (a guess: an odd number of ``` lines)",
        "look whether they were cut off; a model learns to stop there",
    ),
    "cut_answer": (
        "note",
        "{n} ⟨answer seems|answers seem⟩ to stop in the middle of a sentence (a guess from the last word)",
        "look whether they were cut off; a model learns to stop there",
    ),
}
