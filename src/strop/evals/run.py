"""Run a task on a model: generate, judge, keep every answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from strop.evals.partial import Partial
from strop.evals.results import FAULT, TOO_LONG, ItemResult
from strop.rewards import Judgement
from strop.rewards.extract import code_blocks
from strop.rollout.answers import answer_text
from strop.rollout.engine import Engine, Request, Rollout, SamplingParams
from strop.sandbox import is_unsafe
from strop.tasks.base import AnswerTask, Item

Answer = TypeVar("Answer")
Keep = Callable[[int, Answer], None]


def judged() -> str:
    """What judgements are kept as: those of programs that ran without a sandbox apart, so that none is taken for one of
    a call with it."""
    return "judgement without a sandbox" if is_unsafe() else "judgement"


JUDGED_AT_ONCE = 32
"""Answers that are judged before their verdicts are written down."""


@dataclass(frozen=True)
class Answered:
    """An answer as it is judged: its ``text``, the last turn's where an environment took part. ``tokens`` were sampled;
    ``turns`` and ``counts`` are the environment's, and ``failure`` says why it failed."""

    text: str
    finish_reason: str
    tokens: int
    turns: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    failure: str = ""


def answered(
    rollouts: Mapping[int, Rollout], decode: Callable[[Sequence[int]], str], stop_ids: frozenset[int]
) -> dict[int, Answered]:
    """Answers of one turn."""
    return {
        place: Answered(answer_text(one, decode, stop_ids), one.finish_reason, len(one.tokens))
        for place, one in rollouts.items()
    }


def generate_answers(
    prompts: Sequence[Sequence[int]],
    engine: Engine,
    params: SamplingParams,
    partial: Partial,
    on_answer: Callable[[], None] = lambda: None,
    samples: int = 1,
) -> dict[int, Rollout]:
    """``samples`` answers to each of ``prompts`` (ids) that leaves room for one in the model's window: sample s of
    prompt i under ``i * samples + s``.

    What is in ``partial`` is not done again, and what is done goes there at once. Answers that are generated after an
    interruption are those of an uninterrupted evaluation but for the rounding of the products, which depends on how
    many are generated together: what one draws depends on the seed, its prompt's place and its own alone.
    """
    fitting = [i for i, prompt in enumerate(prompts) if len(prompt) < engine.window]

    def ask(left: list[int], keep: Keep[Rollout]) -> None:
        engine.generate([Request(prompts[i], params, samples, str(i)) for i in left], on_finished=keep)

    def noted(one: Rollout) -> list[Any]:
        return [list(one.tokens), one.finish_reason, one.text_end]

    found = {}
    for place, (tokens, reason, *end) in kept_answers(fitting, samples, partial, ask, noted, on_answer).items():
        prompt = tuple(prompts[place // samples])
        found[place] = Rollout(prompt, tuple(tokens), (), reason, text_end=end[0] if end else None)
    return found


def kept_answers(
    items: Sequence[int],
    samples: int,
    partial: Partial,
    ask: Callable[[list[int], Keep[Answer]], None],
    noted: Callable[[Answer], Any],
    on_answer: Callable[[], None],
) -> dict[int, Any]:
    """What ``partial`` has of ``samples`` answers to each of the items, once none is missing: sample s of item i under
    ``i * samples + s``.

    ``ask`` is given the items that lack an answer, and calls what else it is given with each answer once it is there:
    (number, answer), with ``g * samples + s`` for sample s of the g-th. ``noted`` is what is kept of an answer, as JSON
    has it.
    """
    places = {i: range(i * samples, (i + 1) * samples) for i in items}
    left = [i for i in items if any(partial.get("answer", place) is None for place in places[i])]

    def keep(number: int, answer: Answer) -> None:
        group, sample = divmod(number, samples)
        place = left[group] * samples + sample
        if partial.get("answer", place) is None:
            partial.add("answer", place, noted(answer))
            on_answer()

    if left:
        ask(left, keep)
    return {place: partial.get("answer", place) for i in items for place in places[i]}


def judge_answers(
    task: AnswerTask,
    answers: Mapping[int, Answered],
    unanswered: Mapping[int, str],
    partial: Partial,
    on_judged: Callable[[int], None] = lambda count: None,
    opened: Sequence[str] = (),
) -> list[ItemResult]:
    """Every answer to every item of the task with what became of it; ``partial`` as above.

    ``unanswered`` has the items whose prompts fill the model's window, and says so in words: they are judged as an
    empty answer is, never accepted, with `TOO_LONG` for a ``finish_reason``. ``opened``: for each item the mark that
    its prompt opens reasoning with, which the answer then goes on from, or nothing.
    """
    samples, items, kind = task.settings.samples, task.all_items, judged()
    empty = Answered("", TOO_LONG, 0)
    opened = opened or [""] * len(items)
    places = range(len(items) * samples)
    left = [place for place in places if partial.get(kind, place) is None]
    for first in range(0, len(left), JUDGED_AT_ONCE):
        chosen = left[first : first + JUDGED_AT_ONCE]
        # An empty answer gets its judgement too: how many tests there are is the task's to say.
        given = [(answers.get(p, empty), opened[p // samples]) for p in chosen]
        said = [task.graded(one.text, one.finish_reason, mark) for one, mark in given]
        judgements = task.judge([items[p // samples] for p in chosen], said)
        for place, judgement in zip(chosen, judgements, strict=True):
            partial.add(kind, place, asdict(judgement))
        on_judged(len(chosen))
    results = []
    for place in places:
        item, judgement = items[place // samples], Judgement(**partial.get(kind, place))
        one = answers.get(place, empty)
        if place not in answers:
            judgement = not_asked(judgement, unanswered[place // samples])
        elif one.failure:
            judgement = failed(judgement, one.failure)
        kept = kept_as(item, one.text, judgement, one.finish_reason, one.tokens)
        kept = replace(kept, sample=place % samples, opened=opened[place // samples])
        results.append(replace(kept, turns=one.turns, counts=one.counts, failure=one.failure))
    return results


def kept_as(item: Item, answer: str, judgement: Judgement, finish_reason: str, tokens: int) -> ItemResult:
    """One answer as it is kept."""
    return ItemResult(
        name=item.name,
        family=item.family,
        prompt=item.shown,
        answer=answer,
        verdict=judgement.verdict,
        passed=judgement.passed,
        total=judgement.total,
        detail=judgement.detail,
        stderr_tail=judgement.stderr_tail,
        finish_reason=finish_reason,
        tokens=tokens,
        well_formed=well_formed(answer, finish_reason),
        source=item.source,
        parts=judgement.parts,
        asked=item.asked,
        reference=item.reference,
    )


def not_asked(judgement: Judgement, why: str) -> Judgement:
    """The judgement of an item that could not be asked: that of an empty answer, but never for the good."""
    verdict = "no_answer" if judgement.accepted else judgement.verdict
    parts = dict.fromkeys(judgement.parts, 0.0)
    return replace(judgement, verdict=verdict, passed=0, detail=why, stderr_tail="", parts=parts)


def failed(judgement: Judgement, why: str) -> Judgement:
    """The judgement of an answer whose environment failed: nothing is known of it, whatever was said until then."""
    return replace(not_asked(judgement, why), verdict=FAULT)


def well_formed(answer: str, finish_reason: str) -> bool:
    """The answer ends by itself and holds one complete ```python block."""
    blocks = code_blocks(answer)
    return finish_reason == "stop" and len(blocks) == 1 and blocks[0].closed and blocks[0].language == "python"
