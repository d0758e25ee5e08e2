"""Grade kept answers again, without the model: where a grader or a reference was mended, nothing is generated twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from strop.common.console import working
from strop.common.errors import InputError
from strop.evals.choices import chosen_option
from strop.evals.results import TOO_LONG, ItemResult, answer_estimates, read_results, valued, write_results
from strop.evals.run import JUDGED_AT_ONCE, kept_as, not_asked
from strop.tasks import open_task
from strop.tasks.base import AnswerTask, ChoiceTask, TaskSettings
from strop.tasks.metrics import Metric


def regrade_task(name: str, settings: TaskSettings, file: Path) -> tuple[dict[str, Any], dict[str, Metric], int]:
    """Judge the answers in ``file`` (``evals/<name>.jsonl``) again, or choose again among scored options.

    Writes the file anew and gives (estimates by metric as JSON holds them, the metrics, how many verdicts are others).
    Losses have nothing to be judged: of them nothing is given. Raises InputError where the task's items are no longer
    those that were answered.
    """
    task = open_task(name, settings)
    if not isinstance(task, AnswerTask | ChoiceTask):
        return {}, {}, 0
    before: list[ItemResult] = read_results(file, ItemResult)
    if task.how == "answers":
        wanted = [(item.name, sample) for item in task.all_items for sample in range(task.settings.samples)]
    else:
        wanted = [(question.name, 0) for question in task.all_questions]
    if [(one.name, one.sample) for one in before] != wanted:
        raise InputError(
            f"{file}: holds answers to other items than evals.{name} has now, so they cannot be graded by it; evaluate "
            "the model again."
        )
    after = _answers(task, before) if task.how == "answers" else _options(task, before)
    results, metrics = valued(after, task.measures())
    write_results(file, results)
    changed = sum(a.verdict != b.verdict for a, b in zip(before, after, strict=True))
    return {name: one.to_dict() for name, one in answer_estimates(results, metrics).items()}, metrics, changed


def _answers(task: AnswerTask, before: list[ItemResult]) -> list[ItemResult]:
    items = [item for item in task.all_items for _ in range(task.settings.samples)]
    said = [task.graded(one.answer, one.finish_reason, one.opened) for one in before]
    judgements, after = [], []
    with working(f"{task.name}: judged", len(items)) as work:
        for first in range(0, len(items), JUDGED_AT_ONCE):
            chosen = slice(first, first + JUDGED_AT_ONCE)
            judgements += task.judge(items[chosen], said[chosen])
            work.advance(len(items[chosen]))
    for item, one, judgement in zip(items, before, judgements, strict=True):
        if one.finish_reason == TOO_LONG:
            judgement = not_asked(judgement, one.detail)
        made = kept_as(item, one.answer, judgement, one.finish_reason, one.tokens)
        after.append(replace(made, sample=one.sample, opened=one.opened, turns=one.turns, counts=one.counts))
    return after


def _options(task: ChoiceTask, before: list[ItemResult]) -> list[ItemResult]:
    pairs = zip(task.all_questions, before, strict=True)
    return [chosen_option(question, one.option_logprobs, one.detail) for question, one in pairs]


def changed_words(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The metrics whose value is another now: ``accuracy 0.250 → 0.500``."""
    pairs = ((name, before.get(name, {}).get("value"), one["value"]) for name, one in after.items())
    return [f"{name} {'–' if was is None else f'{was:.3f}'} → {now:.3f}" for name, was, now in pairs if was != now]
