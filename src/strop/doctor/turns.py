"""The turns of conversations: their order, empty ones, and answers that look wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import median

from strop.chat import Message
from strop.doctor.findings import Finding, Tally
from strop.doctor.rows import ReadRow

_FENCE = re.compile(r"^\s{0,3}(```|~~~)", re.MULTILINE)
_LIST_OR_CODE = re.compile(r"^\s*([-*+•|>]|\d+[.)]|\$|#)")
_LEAST_WORDS = 20
"""Shorter answers often end without a full stop, on purpose."""


def check_turns(rows: Sequence[ReadRow]) -> list[Finding]:
    """Everything that can be seen without a tokenizer."""
    tally = Tally()
    for row in rows:
        for kind, text in (*order(row.messages), *empty(row.messages), *suspicious(row.messages)):
            tally.add(kind, row.place, text)
    found = [
        tally.finding(kind, level, message, mend)
        for kind, (level, message, mend) in _KINDS.items()
        if tally.counts[kind]
    ]
    return [*found, *_extreme_lengths(rows)]


def order(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """``(kind, text)`` of every turn that stands where a chat does not have it."""
    spoken = [m for m in messages if m.role not in ("system", "developer")]
    if spoken and spoken[0].role == "assistant":
        yield "assistant_first", spoken[0].content or "(tool call)"
    if messages and messages[-1].role == "user":
        yield "unanswered", messages[-1].content or ""
    before: Message | None = None
    for message in messages:
        role = message.role
        if role in ("system", "developer") and before is not None and before.role not in ("system", "developer"):
            yield "late_system", message.content or ""
        if role == "user" and before is not None and before.role == "user":
            yield "user_after_user", message.content or ""
        if role == "assistant" and before is not None and before.role == "assistant":
            yield "assistant_after_assistant", message.content or "(tool call)"
        if role == "tool" and (before is None or not (before.tool_calls or before.role == "tool")):
            yield "tool_without_call", message.content or ""
        before = message


def empty(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """Turns that say nothing: no text but white space, and no tool call or reasoning instead."""
    for index, message in enumerate(messages):
        if is_empty(message):
            yield "blank_turn", f"message {index} ({message.role}): {message.content!r}"


def is_empty(message: Message) -> bool:
    return not ((message.content or "").strip() or message.tool_calls or (message.reasoning_content or "").strip())


def suspicious(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """Trained answers that seem to have been cut off. A guess from their last line, no more."""
    for message in messages:
        text = (message.content or "").rstrip()
        if not message.loss_weight or not text or message.tool_calls:
            continue
        if len(_FENCE.findall(text)) % 2:
            yield "open_code_fence", text[-100:]
        elif ends_in_the_middle(text):
            yield "cut_answer", text[-100:]


def ends_in_the_middle(text: str) -> bool:
    """Whether prose stops at a comma or in a word that no sentence ends with a full stop after."""
    last = text[text.rfind("\n") + 1 :]
    if len(text.split()) < _LEAST_WORDS or _LIST_OR_CODE.match(last) or len(last.split()) < 4:
        return False
    return last[-1] in ",;([{" or (last[-1].isalpha() and last[-1].islower() and "://" not in last)


def _extreme_lengths(rows: Sequence[ReadRow]) -> Iterator[Finding]:
    """Answers far from the others: one word where answers are long, or twenty times the median."""
    lengths = [(len(answer.split()), row, answer) for row in rows for answer in row.answers() if answer.strip()]
    if len(lengths) < 10:
        return
    middle = median(length for length, _, _ in lengths)
    tally = Tally()
    for length, row, answer in lengths:
        if length <= 1 and middle >= 20 and len(answer) < 20:
            tally.add("short_answer", row.place, answer)
        elif length > max(500, 20 * middle):
            tally.add("long_answer", row.place, f"{length:,} words: {answer}")
    if tally.counts["short_answer"]:
        message = f"{{n}} ⟨answer is|answers are⟩ one word, where the middle one has {middle:,.0f} words"
        yield tally.finding("short_answer", "note", message, "look whether they are whole; drop them if not")
    if tally.counts["long_answer"]:
        message = f"{{n}} ⟨answer is|answers are⟩ more than 20 times as long as the middle one ({middle:,.0f} words)"
        yield tally.finding("long_answer", "note", message, "look at them: logs and loops end up here")


_KINDS = {
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
