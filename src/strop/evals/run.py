"""Run a task on a model: generate, judge, keep every item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from strop.evals.partial import Partial
from strop.evals.results import TOO_LONG, ItemResult
from strop.evals.tasks import CodeTask, Item, part_of
from strop.rewards import Judgement
from strop.rewards.extract import code_blocks
from strop.rollout.engine import Engine, Rollout, SamplingParams

JUDGED_AT_ONCE = 32
"""Answers that are judged before their verdicts are written down."""


def run_code_task(
    task: CodeTask,
    prompts: Sequence[Sequence[int]],
    engine: Engine,
    decode: Callable[[Sequence[int]], str],
    params: SamplingParams,
    partial: Partial,
    on_answer: Callable[[], None] = lambda: None,
    on_judged: Callable[[int], None] = lambda count: None,
) -> list[ItemResult]:
    """One answer per item, judged; ``prompts`` are their ids, in the items' order.

    What is in ``partial`` is not done again, and what is done goes there at once. An item whose prompt fills the
    model's window has no answer: its verdict is ``no_code`` and its ``finish_reason`` `TOO_LONG`. Greedy answers that
    are generated after an interruption are those of an uninterrupted evaluation but for the rounding of the products,
    which depends on how many answers are generated together.
    """
    fitting = [i for i, prompt in enumerate(prompts) if len(prompt) < engine.window]
    left = [i for i in fitting if partial.get("answer", i) is None]

    def keep(number: int, rollout: Rollout) -> None:
        partial.add("answer", left[number], [list(rollout.tokens), rollout.finish_reason])
        on_answer()

    if left:
        engine.generate([prompts[i] for i in left], params, on_finished=keep)
    rollouts = {
        i: Rollout(tuple(prompts[i]), tuple(a[0]), (), a[1]) for i in fitting if (a := partial.get("answer", i))
    }
    answers = {i: answer_text(rollout, decode, engine.stop_ids) for i, rollout in rollouts.items()}
    _judge(task, answers, partial, on_judged)
    results = []
    for i, item in enumerate(task.items):
        if i in rollouts:
            judgement = Judgement(**partial.get("judgement", i))
            results.append(_result(item, answers[i], judgement, rollouts[i]))
        else:
            detail = f"the prompt has {len(prompts[i])} tokens and the model's window holds {engine.window}"
            results.append(_unanswered(item, task, detail))
    return results


def _judge(task: CodeTask, answers: dict[int, str], partial: Partial, on_judged: Callable[[int], None]) -> None:
    left = [i for i in answers if partial.get("judgement", i) is None]
    for first in range(0, len(left), JUDGED_AT_ONCE):
        chosen = left[first : first + JUDGED_AT_ONCE]
        judgements = part_of(task, [task.items[i] for i in chosen]).judge([answers[i] for i in chosen])
        for i, judgement in zip(chosen, judgements, strict=True):
            partial.add("judgement", i, asdict(judgement))
        on_judged(len(chosen))


def _result(item: Item, answer: str, judgement: Judgement, rollout: Rollout) -> ItemResult:
    return ItemResult(
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


def _unanswered(item: Item, task: CodeTask, detail: str) -> ItemResult:
    [judgement] = part_of(task, [item]).judge([""])  # how many tests there are is the task's to say
    prompt = item.messages[-1]["content"]
    counts = (judgement.passed, judgement.total)
    return ItemResult(
        item.name, item.family, prompt, "", "no_code", *counts, detail, "", TOO_LONG, 0, False, item.source
    )


def answer_text(rollout: Rollout, decode: Callable[[Sequence[int]], str], stop_ids: frozenset[int]) -> str:
    """The answer as a person reads it: without the stop token that ended it, and with every other token."""
    tokens = rollout.tokens
    return decode(tokens[:-1] if tokens and tokens[-1] in stop_ids else tokens)


def well_formed(answer: str, rollout: Rollout) -> bool:
    """The answer ends by itself and holds one complete ```python block."""
    blocks = code_blocks(answer)
    return rollout.finish_reason == "stop" and len(blocks) == 1 and blocks[0].closed and blocks[0].language == "python"
