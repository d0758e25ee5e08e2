"""What there is to know of a task's items and of a model's answers beside the numbers, in words."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from strop.evals.results import FAULT, ItemResult

FEWEST, MOSTLY = 10, 0.9
"""Of so many answers, from this share on, that nothing was found, or that they were cut off, is said."""


def item_notes(count: int | None, read: Sequence[Hashable]) -> list[str]:
    """That there are fewer items than the ``count`` that was asked for, and that a model reads some of them twice.

    ``read``: what it reads of each, with the options where it is to choose."""
    notes, total = [], len(read)
    if count is not None and total < count:
        notes.append(f"{count:,} items are asked for (count, limit) and {total:,} are there; these are measured")
    if twice := total - len(set(read)):
        notes.append(f"{twice:,} of {total:,} items are token for token an earlier one, and count again")
    return notes


def answer_notes(results: list[ItemResult]) -> list[str]:
    """What of the answers is not what a task measures, in words: those that could not be judged, and nearly all of them
    without what was looked for."""
    notes, total = [], len(results)
    if faults := [result for result in results if result.verdict == FAULT]:
        notes.append(
            f"{len(faults):,} of {total:,} answers could not be judged ({faults[0].detail}); they count as not solved"
        )
    empty = sum(result.verdict in ("no_answer", "no_code") for result in results)
    if total >= FEWEST and empty >= MOSTLY * total:
        notes.append(
            f"in {empty:,} of {total:,} answers none was found, so this tells of their form and not of what the model "
            "knows: look at some, and choose another prompt, style or max_tokens"
        )
    cut = sum(result.finish_reason == "length" for result in results)
    if total >= FEWEST and cut >= MOSTLY * total:
        notes.append(
            f"{cut:,} of {total:,} answers were cut off by max_tokens or the model's window, so this tells little of "
            "what the model would have said: raise max_tokens, and look whether it ever ends"
        )
    return notes
