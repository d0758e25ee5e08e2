"""Grade kept answers again, without the model: where a grader or a reference was mended, nothing is generated twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from strop.common.console import working
from strop.common.errors import InputError
from strop.evals.choices import chosen_option
from strop.evals.results import FAULT, TOO_LONG, ItemResult, answer_estimates, read_results, valued, write_results
from strop.evals.run import JUDGED_AT_ONCE, failed, kept_as, not_asked
from strop.tasks import open_task
from strop.tasks.base import AnswerTask, ChoiceTask, Item, Question, TaskSettings
from strop.tasks.metrics import Metric


class Regraded(NamedTuple):
    """``estimates`` by metric as JSON holds them, the ``metrics``, how many verdicts ``changed``, and in words what
    there is to know beside them."""

    estimates: dict[str, Any]
    metrics: dict[str, Metric]
    changed: int
    notes: list[str]


def regrade_task(name: str, settings: TaskSettings, file: Path) -> Regraded:
    """Judge the answers in ``file`` (``evals/<name>.jsonl``) again, or choose again among scored options, and write it
    anew.

    Losses have nothing to be judged: of them nothing is given. Raises InputError, naming the first item, where the task
    does not ask what was answered: other items, another prompt in any turn, other options. References may be others.
    """
    task = open_task(name, settings)
    if not isinstance(task, AnswerTask | ChoiceTask):
        return Regraded({}, {}, 0, [])
    before: list[ItemResult] = read_results(file, ItemResult)
    if isinstance(task, AnswerTask):
        samples, items = task.settings.samples, task.all_items
        _check_asked(name, file, before, items, samples)
        notes = _notes(before, items, samples)
        after = _answers(task, before)
    else:
        questions = task.all_questions
        _check_asked(name, file, before, questions, 1)
        notes = _notes(before, questions, 1)
        after = [
            chosen_option(question, one.option_logprobs, one.detail)
            for question, one in zip(questions, before, strict=True)
        ]
    # What was not known of an older result is not known now.
    after = [replace(new, asked=old.asked) for old, new in zip(before, after, strict=True)]
    results, metrics = valued(after, task.measures())
    write_results(file, results)
    changed = sum(a.verdict != b.verdict for a, b in zip(before, after, strict=True))
    estimates = {metric: one.to_dict() for metric, one in answer_estimates(results, metrics).items()}
    return Regraded(estimates, metrics, changed, notes)


def _check_asked(
    name: str, file: Path, before: Sequence[ItemResult], items: Sequence[Item | Question], samples: int
) -> None:
    """Raises InputError where ``before`` is not of ``samples`` answers to each of the items."""
    again = f"so they cannot be graded by evals.{name}; evaluate the model again, or give the task what it had."
    if len(before) != len(items) * samples:
        raise InputError(
            f"{file}: holds answers to other items than evals.{name} has now: {len(before):,}, and {samples:,} to each "
            f"of {len(items):,} items are wanted, {again}"
        )
    for place, one in enumerate(before):
        item, sample = items[place // samples], place % samples
        if (one.name, one.sample) != (item.name, sample):
            raise InputError(
                f"{file}: holds answers to other items than evals.{name} has now: {one.name!r} (answer {one.sample}) "
                f"stands where {item.name!r} (answer {sample}) would, {again}"
            )
        if _is_other(one, item):
            raise InputError(
                f"{file}: the answer to {one.name!r} is to another prompt, or other options, than that item has now, "
                f"{again}"
            )


def _is_other(one: ItemResult, item: Item | Question) -> bool:
    """Whether what was asked is not what the item of that name asks; of older results as far as they tell."""
    if one.asked and item.asked:
        return one.asked != item.asked
    if one.prompt != item.shown:
        return True
    if isinstance(item, Item) or not one.option_logprobs:
        return False
    scores = one.option_logprobs
    likeliest = item.options[scores.index(max(scores))].strip() if len(scores) == len(item.options) else None
    return likeliest != one.answer


def _notes(before: Sequence[ItemResult], items: Sequence[Item | Question], samples: int) -> list[str]:
    notes = []
    if unknown := sum(not (one.asked and items[place // samples].asked) for place, one in enumerate(before)):
        notes.append(
            f"of {unknown:,} of {len(before):,} answers only the last turn of the prompt and the chosen option could "
            "be compared with what the task asks now, since an older strop kept no more; see that it asks the same"
        )
    other = [items[place // samples].reference != one.reference for place, one in enumerate(before) if one.reference]
    if sum(other):
        notes.append(f"{sum(other):,} of {len(before):,} answers are graded by another reference than before")
    return notes


def _answers(task: AnswerTask, before: Sequence[ItemResult]) -> list[ItemResult]:
    items = [item for item in task.all_items for _ in range(task.settings.samples)]
    said = [task.graded(one.answer, one.finish_reason, one.opened) for one in before]
    judgements, after = [], []
    with working(f"{task.name}: judged", len(items)) as work:
        for first in range(0, len(items), JUDGED_AT_ONCE):
            chosen = slice(first, first + JUDGED_AT_ONCE)
            judgements += task.judge(items[chosen], said[chosen])
            work.advance(len(items[chosen]))
    for item, one, judgement in zip(items, before, judgements, strict=True):
        failure = one.failure or _older_failure(one)
        if one.finish_reason == TOO_LONG:
            judgement = not_asked(judgement, one.detail)
        elif failure:
            judgement = failed(judgement, failure)
        made = kept_as(item, one.answer, judgement, one.finish_reason, one.tokens)
        made = replace(made, sample=one.sample, opened=one.opened)
        after.append(replace(made, turns=one.turns, counts=one.counts, failure=failure))
    return after


def _older_failure(one: ItemResult) -> str:
    """Why the environment failed, of a result that was kept without saying so: no other fault ends an answer."""
    return one.detail if one.verdict == FAULT and one.finish_reason == "cancelled" else ""


def changed_words(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The metrics whose value is another now: ``accuracy 0.250 → 0.500``."""
    pairs = ((name, before.get(name, {}).get("value"), one["value"]) for name, one in after.items())
    return [f"{name} {'–' if was is None else f'{was:.3f}'} → {now:.3f}" for name, was, now in pairs if was != now]
