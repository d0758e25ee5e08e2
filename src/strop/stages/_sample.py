"""What a sample stage does: load, read prompts, generate and grade in batches, write rows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from strop.chat.conversation import message_row
from strop.common.console import working
from strop.common.errors import Halted, InputError
from strop.common.files import write_json, write_jsonl
from strop.data.mixture import Mixture
from strop.evals.partial import Partial, key_of
from strop.evals.run import Keep, kept_answers
from strop.model.window import window_of
from strop.rollout.answers import answer_text
from strop.rollout.engine import Request, Rollout, SamplingParams
from strop.rollout.engines import open_engine
from strop.rollout.episodes import Episode
from strop.rollout.grading import Grader
from strop.rollout.kept_batches import KeptBatches
from strop.rollout.loaded import load
from strop.rollout.prompts import Prompt
from strop.rollout.selection import COUNTED, PART, Selection, Tally
from strop.rollout.trajectory import Trajectory, trajectory
from strop.rollout.turns import Player
from strop.stages._prompts import checked_prompts
from strop.stages.base import Context, StageResult

if TYPE_CHECKING:
    from strop.rollout.torch_engine import TorchEngine
    from strop.rollout.vllm.engine import VllmEngine
    from strop.stages.sample import SampleStage

_BATCH = 4
"""Answers of a batch, in rows of the engine: few wait for the batch's longest, and few are graded late."""


def sample(stage: SampleStage, context: Context) -> StageResult:
    """Write ``rows.jsonl`` and ``sampling.json`` (counts). Raises Halted where more rewards fail than may, InputError
    where no row is left."""
    compute = context.recipe.compute
    loaded = load(context.model, context.recipe.chat, context.compute, name=context.model_name, say=context.say)
    parts = checked_prompts(stage, loaded.encoder, window_of(context.model), stage.rollout.max_tokens)
    mixture = Mixture(parts, stage.data, stage.seed)
    prompts = [mixture[int(i)] for i in mixture.contents(0)]
    context.say(f"prompts: {len(prompts):,}, of {', '.join(part.title for part in stage.data.parts)}")
    player = Player(loaded.encoder, stage.environment) if stage.environment else None
    tools = stage.environment.schemas() if stage.environment else ()
    selection = Selection(stage.keep, stage.layout, stage.threshold, stage.min_margin, stage.most_per_prompt, tools)
    grader, folder = Grader(stage.rewards, stage.grading, context.compute, stage.own_weights), context.folder
    size = max(1, _BATCH * compute.max_rows // stage.rollout.group_size)
    key = key_of(context.model, str(context.compute), size, [(prompt.name, prompt.ids) for prompt in prompts])
    kept, started = KeptBatches(folder / "batches", key), time.perf_counter()
    told = kept.tally()
    if done := kept.done():
        context.say(f"going on: {told.counts['prompts']:,} of {len(prompts):,} prompts were answered before")
    try:
        with open_engine(
            context.recipe.rollout, loaded, context.model, max_rows=compute.max_rows, cache_gb=compute.cache_gb,
            log=folder / "vllm.log", say=context.say,
        ) as engine:  # fmt: skip
            for number, asked, requests in islice(_batches(stage, prompts, size), done, None):
                with closing(Partial(kept.answers(number), key)) as partial:
                    if player:
                        drawn = _played(asked, requests, engine, partial, player, number * size)
                    else:
                        answers = _answers(requests, engine, partial)
                        drawn = _groups(asked, answers, number * size, engine, loaded.tokenizer)
                groups = grader.grade(asked, drawn)
                rows = [
                    {**row, "model": context.model_name}
                    for prompt, group in zip(asked, groups, strict=True)
                    for row in selection.rows(_begun(prompt, stage), group, told)
                ]
                _check_failures(stage, told)
                kept.add(number, rows, told)
                if len(prompts) > size:
                    counts = told.counts
                    context.say(f"{counts['prompts']:,} of {len(prompts):,} prompts, {counts['rows']:,} rows")
    finally:
        grader.workers.close()
        if player:
            player.close()
    write_jsonl(folder / "rows.jsonl", kept.rows())
    seconds = round(time.perf_counter() - started, 1)
    write_json(folder / "sampling.json", {**told.counts, "seconds": seconds, "failures": dict(told.failures)})
    facts = _facts(stage, told)
    for name, value in facts.items():
        context.say(f"{name}: {value}")
    if not told.counts["rows"]:
        became = ", ".join(f"{name}: {value}" for name, value in facts.items())
        raise InputError(
            f"no row is left ({became}); sample more answers (rollout.group_size) or longer ones (rollout.max_tokens), "
            "or ask less of them (keep, threshold)."
        )
    context.say(f"rows: {folder / 'rows.jsonl'}")
    warnings = []
    if told.failures:
        failed = told.counts["without a reward"]
        warnings = [f"{failed:,} answers have no reward and are left out; the first: {told.first_failure}"]
        context.say(f"warning: {warnings[0]}", style="yellow")
    kept.drop()
    return StageResult(facts=facts, warnings=warnings)


def _batches(
    stage: SampleStage, prompts: Sequence[Prompt], size: int
) -> Iterator[tuple[int, Sequence[Prompt], list[Request]]]:
    """Number, prompts and requests, ``size`` prompts at a time. What an answer draws depends on the seed, its prompt's
    name (and how often that came before) and its number alone, whatever the batch."""
    settings, count = stage.rollout, stage.rollout.group_size
    how = settings.model_dump(include={"max_tokens", "temperature", "top_p", "top_k", "min_p", "seed"})
    params = SamplingParams(**how)
    came: Counter[str] = Counter()
    for number, first in enumerate(range(0, len(prompts), size)):
        asked, requests = prompts[first : first + size], []
        for prompt in asked:
            requests.append(Request(prompt.ids, params, count, f"{came[prompt.name]}/{prompt.name}"))
            came[prompt.name] += 1
        yield number, asked, requests


def _answers(requests: Sequence[Request], engine: TorchEngine | VllmEngine, partial: Partial) -> list[Rollout]:
    """Every answer of every request, in order; what is in ``partial`` is not done again, and what is done goes there at
    once."""
    count = requests[0].group_size

    def ask(left: list[int], keep: Keep[Rollout]) -> None:
        with working("answers", len(left) * count, at_once=getattr(engine, "max_rows", 1)) as work:

            def kept(number: int, rollout: Rollout) -> None:
                keep(number, rollout)
                work.advance()

            engine.generate([requests[i] for i in left], on_finished=kept)
        engine.sync()  # these prompts do not come again, and a long memory of prefixes is slow to search

    def noted(rollout: Rollout) -> list[Any]:
        return [list(rollout.tokens), rollout.finish_reason, rollout.text_end]

    found = []
    kept = kept_answers(range(len(requests)), count, partial, ask, noted, lambda: None)
    for place, (tokens, reason, end) in kept.items():
        # Nobody reads log-probabilities here, and with filters vLLM cannot tell the plain ones.
        none = (0.0,) * len(tokens)
        prompt, sample = requests[place // count].prompt, place % count
        found.append(Rollout(tuple(prompt), tuple(tokens), none, reason, none, text_end=end, sample=sample))
    return found


def _played(
    asked: Sequence[Prompt],
    requests: Sequence[Request],
    engine: TorchEngine | VllmEngine,
    partial: Partial,
    player: Player,
    first: int,
) -> list[list[Trajectory]]:
    """As `_answers` and `_groups`, of an environment: with the messages that followed the prompt."""
    count, params = requests[0].group_size, requests[0].params

    def ask(left: list[int], keep: Keep[Episode]) -> None:
        openings = [player.opening(str(requests[i].name), asked[i].start) for i in left]
        with working("answers by turns", len(left) * count) as work:

            def kept(number: int, episode: Episode) -> None:
                keep(number, episode)
                work.advance()

            player.play(engine, openings, params, count, kept)
        engine.sync()

    def noted(episode: Episode) -> dict[str, Any]:
        said = tuple(message_row(message) for message in player.said(episode))
        return replace(episode.trajectory(0), said=said).state_dict()

    kept = kept_answers(range(len(asked)), count, partial, ask, noted, lambda: None)
    found = [replace(Trajectory.of_state(one), group=first + place // count) for place, one in kept.items()]
    return [found[i * count : (i + 1) * count] for i in range(len(asked))]


def _begun(prompt: Prompt, stage: SampleStage) -> Prompt:
    """With the messages that its environment begins with."""
    if stage.environment is None:
        return prompt
    return replace(prompt, messages=list(stage.environment.model_copy().reset(prompt.start)))


def _groups(
    asked: Sequence[Prompt], answers: Sequence[Rollout], first: int, engine: TorchEngine | VllmEngine, tokenizer: Any
) -> list[list[Trajectory]]:
    """Answers by prompt, with their texts."""
    count = len(answers) // len(asked)

    def decode(ids: Sequence[int]) -> str:
        return tokenizer.decode(ids, clean_up_tokenization_spaces=False)

    return [
        [
            trajectory(one, prompt.name, first + i, answer_text(one, decode, engine.stop_ids))
            for one in answers[i * count : (i + 1) * count]
        ]
        for i, prompt in enumerate(asked)
    ]


def _check_failures(stage: SampleStage, told: Tally) -> None:
    failed, answers = told.counts["without a reward"], told.counts["answers"]
    if failed > stage.grading.max_failed * answers:
        raise Halted(
            f"{failed:,} of {answers:,} answers have no reward; the first: {told.first_failure}. grading.max_failed "
            f"allows {stage.grading.max_failed:.0%}; mend the reward and run the same command again."
        )


def _facts(stage: SampleStage, told: Tally) -> dict[str, Any]:
    """What became of the answers, without what did not happen."""
    counts = told.counts
    share = f"{counts['passing']:,} ({counts['passing'] / counts['answers']:.1%}) with a reward of at least "
    facts: dict[str, Any] = {name: counts[name] for name in ("prompts", "answers", "rows")}
    facts["passing"] = f"{share}{stage.threshold:g}"
    known = (*facts, "tokens")
    rest = {name: n for name, n in counts.items() if n and name not in known and not name.startswith((PART, COUNTED))}
    mean = round(counts["tokens"] / counts["answers"], 1)
    failed = {f"failed: {name}": count for name, count in told.failures.items()}
    return {**facts, **rest, "mean answer length": mean, **told.counted(), **told.part_means(), **failed}
