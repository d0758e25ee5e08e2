"""Score the options of multiple-choice questions: one pass over a prompt, then over each option's own tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from strop.chat import ChatEncoder
from strop.evals.partial import Partial
from strop.evals.prompts import option_ids
from strop.evals.results import SCORED, TOO_LONG, ItemResult
from strop.rollout.engine import Scorer
from strop.tasks.base import ChoiceTask, Question

SCORED_AT_ONCE = 64
"""Questions that are scored before that is written down."""


@dataclass(frozen=True)
class Encoded:
    """The ids of a question's prompt and of its options; ``joined``: a token holds text of both."""

    prompt: list[int]
    options: list[list[int]]
    joined: bool

    @property
    def longest(self) -> int:
        """Tokens of the prompt with the longest option."""
        return len(self.prompt) + max(map(len, self.options))


def encode_questions(task: ChoiceTask, encoder: ChatEncoder) -> list[Encoded]:
    """Raises InputError, naming the question, where one cannot be encoded."""
    return [Encoded(*option_ids(question, encoder, task.name)) for question in task.all_questions]


def score_questions(
    task: ChoiceTask,
    encoded: Sequence[Encoded],
    engine: Scorer,
    partial: Partial,
    on_scored: Callable[[int], None] = lambda count: None,
) -> list[ItemResult]:
    """Every question with the log-probability of each option; those that do not fit the window count as not solved.

    What is in ``partial`` is not done again, and what is done goes there.
    """
    fitting = [i for i, one in enumerate(encoded) if one.longest <= engine.window]
    left = [i for i in fitting if partial.get("scores", i) is None]
    for first in range(0, len(left), SCORED_AT_ONCE):
        chosen = left[first : first + SCORED_AT_ONCE]
        found = engine.score([encoded[i].prompt for i in chosen], [encoded[i].options for i in chosen])
        for i, scores in zip(chosen, found, strict=True):
            partial.add("scores", i, [score.total for score in scores])
        on_scored(len(chosen))
    questions, window = task.all_questions, engine.window
    return [
        chosen_option(
            question, partial.get("scores", i) or [], f"{encoded[i].longest:,} tokens and the window {window:,}"
        )
        for i, question in enumerate(questions)
    ]


def chosen_option(question: Question, logprobs: Sequence[float], why_not: str = "") -> ItemResult:
    """What an option's log-probabilities (nats) say of a question: ``acc`` by the likeliest, ``acc_norm`` by the
    likeliest for each byte; without any it is not solved. Of equals the first counts."""
    by_length = [logprob / n for logprob, n in zip(logprobs, question.lengths, strict=False)]
    best = [max(range(len(scores)), key=scores.__getitem__) if scores else None for scores in (logprobs, by_length)]
    right = [float(index == question.answer) for index in best]
    return ItemResult(
        name=question.name,
        family=question.family,
        prompt=question.shown,
        answer="" if best[0] is None else question.options[best[0]].strip(),
        verdict="accepted" if right[0] else "wrong_answer" if logprobs else "no_answer",
        passed=int(right[0]),
        total=1,
        detail=f"the right one is {question.options[question.answer].strip()!r:.80}" if logprobs else why_not,
        stderr_tail="",
        finish_reason=SCORED if logprobs else TOO_LONG,
        tokens=0,
        well_formed=True,
        source=question.source,
        parts={"acc": right[0], "acc_norm": right[1]},
        option_logprobs=list(logprobs),
        asked=question.asked,
        reference=question.reference,
    )


def notes_of(task: ChoiceTask, encoded: Sequence[Encoded], window: int) -> list[str]:
    """What of the questions is not as one would think, in words."""
    notes = list(task.notes)
    total = len(encoded)
    options = [tuple(map(str.strip, question.options)) for question in task.all_questions]
    if twice := sum(len(set(one)) < len(one) for one in options):
        notes.append(
            f"{twice:,} of {total:,} questions have the same option twice; the first of both counts, so that some may "
            "have no right answer that can be given"
        )
    if joined := sum(one.joined for one in encoded):
        notes.append(
            f"in {joined:,} of {total:,} questions a token holds the end of the prompt and the beginning of an option; "
            "scored from before that token on, for all options alike"
        )
    lettered = getattr(task.settings, "options", None) == "letters"
    if lettered and (several := sum(any(len(ids) > 1 for ids in one.options) for one in encoded)):
        notes.append(f"in {several:,} of {total:,} questions a letter is more than one token; all of its tokens count")
    if too_long := sum(one.longest > window for one in encoded):
        notes.append(
            f"{too_long:,} of {total:,} questions do not fit the model's window of {window:,} tokens and count as not "
            "solved; fewer shots make them shorter"
        )
    return notes
