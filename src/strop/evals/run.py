"""Run a task on a model: generate, judge, keep every item."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from strop.chat import ChatEncoder, parse_conversation
from strop.data.batch import make_batch
from strop.data.packing import pack
from strop.data.readers import Row
from strop.evals.results import ItemResult, LossResult
from strop.evals.tasks import CodeTask
from strop.model.policy import Policy
from strop.rewards.extract import code_blocks
from strop.rollout.engine import Engine, Rollout, SamplingParams


def run_code_task(
    task: CodeTask,
    engine: Engine,
    encoder: ChatEncoder,
    decode: Callable[[Sequence[int]], str],
    params: SamplingParams,
    on_finished: Callable[[], None] | None = None,
) -> list[ItemResult]:
    """One answer per item, judged. ``on_finished`` is called as answers complete."""
    prompts = [encoder.prompt(item.messages) for item in task.items]
    rollouts = engine.generate(prompts, params, _count_finished(on_finished, engine, params))
    answers = [answer_text(r, decode) for r in rollouts]
    judgements = task.judge(answers)
    return [
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
        for item, answer, judgement, rollout in zip(task.items, answers, judgements, rollouts, strict=True)
    ]


def _count_finished(on_finished, engine, params):
    if on_finished is None:
        return None
    lengths: dict[int, int] = {}

    def on_token(index: int, token: int) -> None:
        lengths[index] = lengths.get(index, 0) + 1
        if token in engine.stop_ids or lengths[index] == params.max_tokens:
            on_finished()

    return on_token


def answer_text(rollout: Rollout, decode: Callable[[Sequence[int]], str]) -> str:
    """The answer as a person reads it: without its stop token."""
    tokens = rollout.tokens[:-1] if rollout.finish_reason == "stop" else rollout.tokens
    return decode(tokens)


def well_formed(answer: str, rollout: Rollout) -> bool:
    """The answer ends by itself and holds one complete ```python block."""
    blocks = code_blocks(answer)
    return rollout.finish_reason == "stop" and len(blocks) == 1 and blocks[0].closed and blocks[0].language == "python"


@torch.no_grad()
def run_loss_task(
    rows: Sequence[Row], policy: Policy, encoder: ChatEncoder, micro_batch_tokens: int
) -> list[LossResult]:
    """Loss of every conversation's trained tokens, in the order of ``rows`` (as ``read_jsonl`` gives them)."""
    examples = [e for place, row in rows for e in encoder.encode(parse_conversation(row, place))]
    lengths = [len(e.tokens) for e in examples]
    training = policy.training
    policy.eval()
    results: list[LossResult | None] = [None] * len(examples)
    for members in pack(lengths, max(micro_batch_tokens, *lengths)):
        batch = make_batch([examples[i] for i in members]).to(policy.compute.device)
        losses = -policy(batch)["logprobs"] * batch.weights
        sums = losses.new_zeros(batch.sequences).index_add_(0, batch.seq_index, losses).tolist()
        counts = torch.bincount(batch.seq_index, minlength=batch.sequences).tolist()
        for i, loss, count in zip(members, sums, counts, strict=True):
            results[i] = LossResult(examples[i].place, examples[i].place, loss, count)
    policy.train(training)
    return results
