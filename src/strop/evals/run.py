"""Run a task on a model: generate, judge, keep every item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from strop.chat import ChatEncoder
from strop.common.errors import InputError
from strop.evals.partial import Partial
from strop.evals.results import TOO_LONG, ItemResult
from strop.rewards import Judgement
from strop.rewards.extract import code_blocks
from strop.rollout.answers import answer_text
from strop.rollout.engine import Engine, Rollout, SamplingParams
from strop.tasks.base import AnswerTask

JUDGED_AT_ONCE = 32
"""Answers that are judged before their verdicts are written down."""


def prompts_of(task: AnswerTask, encoder: ChatEncoder) -> list[list[int]]:
    """The ids of every item's prompt. Raises InputError, naming the problem, where one cannot be made."""
    prompts = []
    for item in task.all_items:
        try:
            prompts.append(encoder.prompt(item.messages))
        except InputError as error:
            raise InputError(f"evals.{task.name}, problem {item.name!r}: {error}") from error
    return prompts


def generate_answers(
    prompts: Sequence[Sequence[int]],
    engine: Engine,
    params: SamplingParams,
    partial: Partial,
    on_answer: Callable[[], None] = lambda: None,
) -> dict[int, Rollout]:
    """An answer to each of ``prompts`` (ids) that leaves room for one in the model's window, by its index.

    What is in ``partial`` is not done again, and what is done goes there at once. Greedy answers that are generated
    after an interruption are those of an uninterrupted evaluation but for the rounding of the products, which depends
    on how many answers are generated together.
    """
    fitting = [i for i, prompt in enumerate(prompts) if len(prompt) < engine.window]
    left = [i for i in fitting if partial.get("answer", i) is None]

    def keep(number: int, rollout: Rollout) -> None:
        partial.add("answer", left[number], [list(rollout.tokens), rollout.finish_reason])
        on_answer()

    if left:
        engine.generate([prompts[i] for i in left], params, on_finished=keep)
    kept = {i: partial.get("answer", i) for i in fitting}
    return {i: Rollout(tuple(prompts[i]), tuple(tokens), (), reason) for i, (tokens, reason) in kept.items()}


def judge_answers(
    task: AnswerTask,
    rollouts: Mapping[int, Rollout],
    decode: Callable[[Sequence[int]], str],
    stop_ids: frozenset[int],
    unanswered: Mapping[int, str],
    partial: Partial,
    on_judged: Callable[[int], None] = lambda count: None,
) -> list[ItemResult]:
    """Every item of the task with what became of it; ``partial`` as above.

    ``unanswered`` has the other items, whose prompts fill the model's window, and says so in words: their verdict is
    ``no_code`` and their ``finish_reason`` `TOO_LONG`.
    """
    answers = {i: answer_text(rollout, decode, stop_ids) for i, rollout in rollouts.items()}
    items = task.all_items
    left = [i for i in range(len(items)) if partial.get("judgement", i) is None]
    for first in range(0, len(left), JUDGED_AT_ONCE):
        chosen = left[first : first + JUDGED_AT_ONCE]
        # An empty answer gets its judgement too: how many tests there are is the task's to say.
        judgements = task.judge([items[i] for i in chosen], [answers.get(i, "") for i in chosen])
        for i, judgement in zip(chosen, judgements, strict=True):
            partial.add("judgement", i, asdict(judgement))
        on_judged(len(chosen))
    results = []
    for i, item in enumerate(items):
        judgement, answer = Judgement(**partial.get("judgement", i)), answers.get(i, "")
        if (rollout := rollouts.get(i)) is None:
            rollout = Rollout((), (), (), TOO_LONG)
            judgement = replace(judgement, verdict="no_code", passed=0, detail=unanswered[i], stderr_tail="")
        results.append(
            ItemResult(
                name=item.name,
                family=item.family,
                prompt=item.messages[-1]["content"],
                answer=answer,
                verdict=judgement.verdict,
                passed=judgement.passed,
                total=judgement.total,
                detail=judgement.detail,
                stderr_tail=judgement.stderr_tail,
                finish_reason=rollout.finish_reason,
                tokens=len(rollout.tokens),
                well_formed=well_formed(answer, rollout),
                source=item.source,
            )
        )
    return results


def well_formed(answer: str, rollout: Rollout) -> bool:
    """The answer ends by itself and holds one complete ```python block."""
    blocks = code_blocks(answer)
    return rollout.finish_reason == "stop" and len(blocks) == 1 and blocks[0].closed and blocks[0].language == "python"
