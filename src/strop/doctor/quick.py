"""The short examination at the start of a training stage: what can be seen in the examples without a second pass."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from strop.chat import MaskReport
from strop.chat.drift import MENDS
from strop.doctor.answers import LEAST_ANSWERS, MOSTLY, SAME_ANSWER
from strop.doctor.findings import Finding, Tally, ordered
from strop.doctor.labels import check_tokenizer
from strop.doctor.overlap import EvalItem, Overlap, check_overlap
from strop.doctor.training import check_training

if TYPE_CHECKING:
    from strop.train.settings import TrainSettings

MOST_EXAMPLES = 20_000
"""Duplicates and overlap are looked for in the first so many, which takes a few seconds."""


class Tokenized(Protocol):
    """What is looked at of an example."""

    tokens: Sequence[int]
    loss_weights: Sequence[float]
    place: str


def check_examples(
    examples: Sequence[Tokenized],
    report: MaskReport,
    train: TrainSettings,
    tokenizer: Any,
    stop_ids: Iterable[int],
    items: Sequence[EvalItem] = (),
    parameters: int | None = None,
    steps: int | None = None,
    measured: Sequence[Tokenized] = (),
) -> list[Finding]:
    """Errors and warnings only, worst first. ``steps``: optimiser steps, where the source knows them; ``measured``: the
    examples of the evaluation loss, looked for token for token.

    Near duplicates, languages and the turns' order are left to `strop doctor`.
    """
    looked = [examples[i] for i in range(min(len(examples), MOST_EXAMPLES))]
    tally, first, overlap = Tally(), {}, Overlap(items)
    answers: Counter[bytes] = Counter()
    for example in looked:
        digest = _digest(example)
        answers[_learnt(example)] += 1
        if first.setdefault(digest, example) is not example:
            tally.add("duplicate", example.place, f"same as {first[digest].place}")
        if items:
            overlap.look(example.place, [tokenizer.decode(list(example.tokens), skip_special_tokens=True)])
    seen = "" if len(looked) == len(examples) else f" of the first {len(looked):,}"
    copies = [example for example in measured if _digest(example) in first]
    found = [
        *_copies(copies, measured),
        *check_overlap(overlap.matches()),
        *check_tokenizer(tokenizer, frozenset(stop_ids)),
    ]
    found += check_training(train, len(examples), parameters, steps)
    if tally.counts["duplicate"]:
        message = f"{{n}} ⟨example|examples⟩{seen} that came before, token for token"
        found.append(tally.finding("duplicate", "warning", message, "strop doctor --fix OUT keeps one of each"))
    if len(looked) >= LEAST_ANSWERS and (share := answers.most_common(1)[0][1] / len(looked)) >= MOSTLY:
        message = f"{'all' if share == 1 else f'{share:.0%} of the'} examples{seen} teach one and the same answer"
        found.append(Finding("same_answer", "warning", answers.total(), message, SAME_ANSWER))
    if report.drift_turns:
        message = f"{report.drift_turns:,} turns are learnt after another prompt than inference would feed"
        mend = "; ".join(MENDS[kind] for kind in report.drift_mends) or "strop doctor tries what would mend it"
        found.append(Finding("drift", "warning", report.drift_turns, message, mend))
    if report.inferred_stops:
        count = report.inferred_stops.total()
        message = f"{count:,} turns end with a control token outside the stop set"
        found.append(Finding("inferred_stop", "warning", count, message, "name it in chat.stop_tokens"))
    unstopped = report.missing_stop + report.truncated_turns
    if unstopped:
        message = f"{unstopped:,} trained turns have no stop token"
        found.append(Finding("missing_stop", "warning", unstopped, message, "raise max_length or set chat.too_long"))
    return ordered(finding for finding in found if finding.level != "note")


def _digest(example: Tokenized) -> bytes:
    return hashlib.sha1(np.asarray(example.tokens, np.int32).tobytes()).digest()


def _learnt(example: Tokenized) -> bytes:
    """What is trained of an example, and nothing else of it."""
    trained = np.asarray(example.loss_weights, np.float32) != 0
    return hashlib.sha1(np.asarray(example.tokens, np.int32)[trained].tobytes()).digest()


def _copies(copies: Sequence[Tokenized], measured: Sequence[Tokenized]) -> list[Finding]:
    if not copies:
        return []
    are = "is an exact copy" if len(copies) == 1 else "are exact copies"
    message = f"{len(copies):,} of {len(measured):,} items of eval_data {are} of training examples, token for token"
    mend = "give eval_data other data; {fraction: 0.1} holds rows out of the training data"
    return [Finding("contamination", "error", len(copies), message, mend, copies[0].place)]


def lines(findings: Sequence[Finding], most: int = 6) -> list[str]:
    """One line for each of the worst ``most``, and one that says how many are left."""
    said = [f"{f.level}: {f.message}{f' ({f.place})' if f.place else ''}; {f.mend}" for f in findings[:most]]
    left = len(findings) - most
    return [*said, f"and {left} more; strop doctor shows them"] if left > 0 else said
