"""What an RL stage does: load, read prompts, roll out and train by turns, save."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.common.console import working
from strop.common.errors import InputError
from strop.data.mixture import Mixture
from strop.model.policy import Policy
from strop.model.window import window_of
from strop.objectives.policy_gradient import PolicyGradient
from strop.rollout.engine import Engine, SamplingParams
from strop.rollout.engines import open_training_engine
from strop.rollout.grading import Grader
from strop.rollout.loaded import load
from strop.rollout.prompts import Prompts
from strop.rollout.ranks import ALONE, NoEngine, Ranks
from strop.rollout.source import RolloutSource
from strop.rollout.turns import Player
from strop.rollout.vllm.protocol import check_params
from strop.rollout.worker import loaded_policy
from strop.stages._critic import add_values
from strop.stages._evals import wanted
from strop.stages._prompts import check_prompts, checked_prompts
from strop.stages._training import (
    TasksInTraining,
    described,
    in_training,
    load_to_train,
    measured_facts,
    weights_to_train,
    what_to_load,
)
from strop.stages.base import Context, StageResult
from strop.train.evaluations import Look
from strop.train.loop import train
from strop.train.out_of_memory import explained_out_of_memory
from strop.train.random_state import seed_everything
from strop.train.shards import Shards, shard, whole_on_each
from strop.train.weights import Weights
from strop.train.world import World

if TYPE_CHECKING:
    from strop.stages.rl import RlStage


def check_rollouts(stage: RlStage, context: Context) -> None:
    """Raise InputError for prompts and rewards that would stop the stage."""
    parts = check_prompts(stage, context, stage.rollout.max_tokens)
    _check_rows(stage, parts)
    at, device = f"stages.{context.name}.rollout", context.compute.device
    if context.recipe.rollout.engine == "vllm":
        check_params(SamplingParams(temperature=stage.rollout.temperature))
    elif stage.rollout.staleness and device.type != "cpu":
        raise InputError(
            f"{at}.staleness: the process that samples ahead computes on a CPU, and this run on {device}; set it to 0, "
            "or take rollout.engine=vllm, which has a device of its own."
        )


def _check_rows(stage: RlStage, parts: list[Prompts]) -> None:
    """Raise InputError where a prompt and an answer are longer than a row."""
    longest = max(len(prompt.ids) for part in parts for prompt in part) + stage.rollout.max_tokens
    if longest > stage.train.micro_batch_tokens:
        raise InputError(
            f"the longest prompt and a longest answer have {longest:,} tokens and a row holds "
            f"{stage.train.micro_batch_tokens:,}; raise train.micro_batch_tokens to at least {longest:,}, or lower "
            "rollout.max_tokens."
        )


def reinforce(stage: RlStage, context: Context) -> StageResult:
    """Train the model on its own answers; the result goes to ``model`` in the stage's folder."""
    recipe, settings, folder, seed = context.recipe, stage.train, context.folder, stage.train.seed
    loaded = load_to_train(stage, context)
    policy = loaded.policy
    if stage.objective.uses_values:
        add_values(stage, context, loaded)
    with working("prompts: reading"):
        parts = checked_prompts(stage, loaded.encoder, window_of(context.model), stage.rollout.max_tokens)
    _check_rows(stage, parts)
    mixture = Mixture(parts, stage.data, seed)
    context.say(f"prompts: {len(mixture):,}, of {', '.join(part.title for part in stage.data.parts)}")
    seed_everything(seed + context.world.rank)
    decided = stage.objective.decided(stage.samples_apart(recipe))
    given, how = what_to_load(stage, context)
    with explained_out_of_memory(settings, settings.micro_batch_tokens, stage.lora is not None), ExitStack() as stack:
        weights, world = weights_to_train(stage, context, loaded), context.world
        served = recipe.rollout.engine == "vllm"
        if isinstance(weights, Shards) and stage.rollout.staleness and not served:
            raise InputError(
                f"stages.{context.name}.rollout.staleness: the process that samples ahead needs whole weights, and no "
                "rank has them; set it to 0, compute.parallel=replicate, or rollout.engine=vllm."
            )
        ranks = _ranks(weights, world, served)
        engine: AbstractContextManager[Engine] = nullcontext(NoEngine(loaded.stop_ids))
        if world.rank == 0 or not served:
            engine = open_training_engine(
                recipe.rollout,
                stage.rollout,
                loaded,
                context.model,
                partial(loaded_policy, *given, **how),
                max_rows=recipe.compute.max_rows,
                cache_gb=recipe.compute.cache_gb,
                folder=folder,
                say=context.say,
            )
        player = None
        if stage.environment:
            player = Player(loaded.encoder, stage.environment, settings.micro_batch_tokens)
        with ranks.whole() if served else nullcontext():  # the first rank may have to write the model for servers
            opened = stack.enter_context(engine)
        source = RolloutSource(
            policy,
            opened,
            mixture,
            Grader(stage.rewards, stage.grading, context.compute, stage.own_weights),
            loaded.tokenizer,
            stage.rollout,
            decided,
            micro_batch_tokens=settings.micro_batch_tokens,
            seed=seed,
            reference=_reference(stage, context, weights),
            watch=stage.watch,
            folder=folder if world.rank == 0 else None,
            last_step=settings.max_steps,
            player=player,
            say=context.say,
            ranks=ranks,
        )
        objective = PolicyGradient(
            decided,
            temperature=stage.rollout.temperature,
            one_update=source.one_update,
            longest=stage.rollout.max_tokens,
        )
        if source.one_update and (idle := decided.idle_in_one_update()):
            context.say(
                f"each batch of rollouts is trained once, so the ratio is 1 and {', '.join(idle)} of the objective "
                "changes nothing; rollout.updates_per_rollout or rollout.mini_batches above 1 makes it count"
            )
        tasks = in_training(stage, context, loaded)

        def measured(tasks: TasksInTraining, step: int, look: Look) -> dict[str, float]:
            row = tasks(step, look)
            source.measured(step, world.first(lambda: tasks.falls(step, row)))
            return row

        try:
            totals = train(
                weights,
                source,
                objective,
                settings,
                folder,
                tasks=partial(measured, tasks) if tasks else None,
                wanted=wanted(settings, recipe),
                trusted=(lambda: source.trusted) if stage.watch.alarm == "rollback" else None,
                title=context.name,
                console=context.console,
                about=described(stage, context, loaded),
            )
        finally:
            stack.close()  # the engine; what it still worked on ends
            source.close()
            if player:
                player.close()
    if stage.environment:
        trained_with = stage.environment.model_dump(mode="json", exclude_defaults=True)
        loaded.chat = loaded.chat.model_copy(update={"environment": trained_with})
    with weights.whole(), working("model: saving"):
        world.first(lambda: loaded.save(folder))
    warnings = [*totals.pop("warnings"), *source.alarms]
    measures = {name: metric.to_dict() for name, metric in tasks.metrics.items()} if tasks else {}
    facts = world.first(lambda: {**measured_facts(totals, tasks), **_facts(folder)})
    if "rollbacks" in totals:
        facts["rolled back"] = ", ".join(f"step {one['at_step']} → {one['to_step']}" for one in totals["rollbacks"])
    return StageResult(totals=totals, facts=facts, warnings=warnings, measures=measures)


def _ranks(weights: Weights, world: World, served: bool) -> Ranks:
    """How the ranks sample. Of weights that are cut up, servers get what the first rank gathers in the host's memory;
    engines of its own every rank gives all of them."""
    if world.size == 1:
        return ALONE
    if not isinstance(weights, Shards):
        return Ranks(world, served=served)
    return Ranks(world, weights.whole if served else partial(whole_on_each, weights.policy), served)


def _reference(stage: RlStage, context: Context, weights: Weights) -> Policy | None:
    """A frozen copy of the model in the format of products, where there is a KL divergence and no adapters to be
    switched off."""
    if not stage.objective.uses_reference or stage.lora is not None:
        return None
    policy = load(context.model, context.recipe.chat, context.compute, name=context.model_name).policy
    policy = policy.requires_grad_(False).eval()
    return shard(policy, context.world) if isinstance(weights, Shards) else policy


def _facts(folder: Path) -> dict[str, Any]:
    """Means over the first and the last tenth of the batches of rollouts."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for line in lines if "rollout/groups" in (row := json.loads(line))]
    tenth = max(1, len(rows) // 10)
    facts: dict[str, Any] = {"batches of rollouts": len(rows)}
    for name, title in (("reward", "reward"), ("rollout/length", "answer length"), ("rollout/entropy", "entropy")):
        both = [[row[name] for row in part if name in row] for part in (rows[:tenth], rows[-tenth:])]
        if all(both):
            first, last = (sum(values) / len(values) for values in both)
            facts[title] = f"{first:.3f} → {last:.3f}"
    return facts
