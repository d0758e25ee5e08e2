"""What every training stage does: load, encode and prove, train, save. A kind says what is its own."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from strop.common.console import working
from strop.common.files import write_json
from strop.common.folders import cache_folder
from strop.data.batch import Batch, make_batch
from strop.data.encoding import Encoding
from strop.data.prepare import eval_data_note, prepare_with_evaluation
from strop.data.settings import always_said
from strop.data.source import PackedSource, rows_of
from strop.doctor.before_training import before_training
from strop.evals.in_training import InTraining
from strop.model.policy import Policy
from strop.model.preflight import check_length
from strop.model.window import window
from strop.objectives.objective import Objective
from strop.rollout.engine import Scorer
from strop.rollout.loaded import Loaded, load
from strop.rollout.ranks import shared_work
from strop.rollout.torch_engine import TorchEngine
from strop.stages._evals import tasks_in_training, wanted
from strop.stages.base import Context, StageResult
from strop.tasks.base import named_sets
from strop.train.evaluations import Look
from strop.train.loop import train
from strop.train.out_of_memory import explained_out_of_memory
from strop.train.random_state import seed_everything
from strop.train.shards import Shards, make_weights, whole_on_each
from strop.train.step import evaluation
from strop.train.weights import Weights
from strop.train.world import World

if TYPE_CHECKING:
    from strop.stages._settings import TrainingStage
    from strop.stages.rl import RlStage


def load_to_train(stage: TrainingStage | RlStage, context: Context, scores: bool = False) -> Loaded:
    """The model that the stage trains, whole or with its ``lora``; ``scores``: as a model of sequences' scores."""
    given, how = what_to_load(stage, context)
    return load(*given, **how, say=context.say, scores=scores)


def what_to_load(stage: TrainingStage | RlStage, context: Context) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of `load`; they can be sent to another process."""
    recipe = context.recipe
    how = {"name": context.model_name, "dtype": recipe.compute.dtype, "lora": stage.lora, "seed": stage.train.seed}
    return (context.model, recipe.chat, context.compute), {**how, "to_train": True}


def weights_to_train(stage: TrainingStage | RlStage, context: Context, loaded: Loaded) -> Weights:
    """The weights of the stage's training, whole or cut up among the ranks."""
    world, parallel = context.world, context.recipe.compute.parallel
    quantised = bool(stage.lora and stage.lora.quantize)
    weights = make_weights(loaded.policy, stage.train, parallel, world, quantised)
    if isinstance(weights, Shards):
        context.say(f"{world.size} ranks, each with its rows of weights, gradients and moments (FSDP2)")
    elif world.size > 1:
        context.say(f"{world.size} ranks, each with a whole model; gradients are summed once a step")
    return weights


def described(stage: TrainingStage | RlStage, context: Context, loaded: Loaded) -> dict[str, Any]:
    """What every checkpoint says of itself: what somebody needs who loads it, or goes on from it elsewhere.
    ``base`` is a name, which leads nowhere of a new model, and a relative one elsewhere than where the run was made."""
    return {
        "base": loaded.base.name,
        "base_folder": str(loaded.base.folder.absolute()),  # of a new model, or of a relative name
        "lora": stage.lora and stage.lora.model_dump(mode="json"),
        "chat": loaded.chat.model_dump(mode="json"),
        "made_from": dict(context.made_from),
    }


def engine_of(loaded: Loaded, context: Context) -> TorchEngine:
    """An engine on the weights that are trained."""
    compute = context.recipe.compute
    decode = partial(loaded.tokenizer.decode, clean_up_tokenization_spaces=False)
    return TorchEngine(
        loaded.policy, loaded.stop_ids, max_rows=compute.max_rows, cache_gb=compute.cache_gb, decode=decode
    )


class TasksInTraining(InTraining):
    """Of several ranks the first one measures, and all compute its answers."""

    def __init__(self, world: World, policy: Policy, engine: TorchEngine, *given: Any):
        super().__init__(*given)
        self._world, self._policy, self._own = world, policy, engine

    def __call__(self, step: int, look: Look = lambda: None) -> dict[str, float]:
        def work(engine: Scorer) -> dict[str, float]:
            self.answers_with(engine)
            return super(TasksInTraining, self).__call__(step, look)

        with whole_on_each(self._policy):
            return shared_work(self._own, self._world, work)


def in_training(stage: TrainingStage | RlStage, context: Context, loaded: Loaded) -> TasksInTraining | None:
    """What measures the stage's tasks on the weights of the moment; None where it has none."""
    tasks = tasks_in_training(stage.train, context.recipe)
    if not tasks:
        return None
    best = wanted(stage.train, context.recipe)
    engine = engine_of(loaded, context)
    return TasksInTraining(
        context.world,
        loaded.policy,
        engine,
        tasks,
        context.model,
        loaded.policy,
        loaded.tokenizer,
        loaded.encoder,
        engine,
        context.folder,
        context.console,
        context.name,
        best and best.name,
    )


def measured_facts(totals: dict[str, Any], tasks: InTraining | None) -> dict[str, str]:
    """For the report: of which step the model is, and how its tasks went until then."""
    best, facts = totals.get("best"), {}
    if best is not None:
        facts["model kept"] = (
            f"that of step {best['step']} of {totals['step']}: {best['metric']} {best['value']:.3f}, "
            + (
                "its best"
                if best["step"] == best["last_step"]
                else f"its best; {best['last']:.3f} at step {best['last_step']}"
            )
        )
    return facts | (tasks.facts(best["step"] if best else totals["step"]) if tasks else {})


class Training(ABC):
    """One training stage at work; `run` is all of it, in order, and calls what a kind may have its own of.

    ``loss_unit`` is what the evaluation loss is counted in. There are ``loaded`` (model, tokenizer, encoder),
    ``source`` and ``measured`` (the examples or groups of ``eval_data``, ``rows`` of them where there are any) when
    each of the methods is called that could want them.
    """

    loss_unit = "nats per token"

    def __init__(self, stage: TrainingStage, context: Context):
        self.stage, self.context, self.settings, self.world = stage, context, stage.train, context.world

    # -- what a kind says

    @abstractmethod
    def objective(self) -> Objective:
        """What is minimised."""

    def stateful(self) -> dict[str, Any]:
        """What else shapes the run and has a ``state_dict``, by name."""
        return {}

    def make(self, examples: Sequence[Any]) -> Batch:
        """A row of examples, or of groups."""
        return make_batch(examples)

    def complete(self, rows: list[Batch], examples: Sequence[Any]) -> list[Batch]:
        """The rows with what can be known with the weights of the moment only; ``examples``: all that are in them."""
        return rows

    def begin(self) -> None:  # noqa: B027 (a kind need not have any)
        """After the weights are in their place and before anything is measured or trained: of a run that goes on, the
        weights that the stage began with."""

    def before_saving(self) -> dict[str, Any]:
        """When the model is trained: facts for the report."""
        return {}

    # -- all of it

    def run(self) -> StageResult:
        stage, context, recipe, settings = self.stage, self.context, self.context.recipe, self.settings
        folder, seed = context.folder, settings.seed
        self.loaded = loaded = load_to_train(stage, context, stage.scores)
        reads = window(loaded.policy.model.config)
        room = min(settings.micro_batch_tokens, reads) if reads else settings.micro_batch_tokens
        encoding = Encoding(loaded.tokenizer, loaded.chat, loaded.stop_ids, room, reads)
        cache = cache_folder() / "prepared"
        data, held_out = self.world.in_turn(
            lambda: prepare_with_evaluation(
                stage.mixture,
                stage.held_out or stage.eval_mixture,
                named_sets(),
                encoding,
                cache,
                epochs=settings.epochs,
                seed=seed,
                content=stage.content,
            )
        )
        # Without an example there is nothing to prove, and what was left out says why.
        proven = [f"mask proven on every conversation: {data.report}"] if data.report.examples else data.report.unusual
        for line in (*proven, *data.notes(cache)):
            context.say(line)
        if data.shown and self.world.rank == 0:
            write_json(folder / "examples.json", data.shown)
        self.source = PackedSource(
            data.mixture(seed),
            global_batch_size=settings.global_batch_size,
            micro_batch_tokens=settings.micro_batch_tokens,
            epochs=settings.epochs,
            rank=self.world.rank,
            world_size=self.world.size,
            make=self.make,
            complete=self.complete,
        )
        example = self.source.mixture[self.source.mixture.longest()]
        longest = len(example.tokens)
        if stage.content == "conversations":  # a group is longer than any of its sequences, which the encoder measured
            check_length(loaded.policy.model, longest, example.place)
        self.measured = held_out.first_epoch(seed)
        if self.world.rank == 0:
            with working("data and settings examined"):
                before_training(stage.looked_at(), context, loaded, self.source, data.report, self.measured)
        objective, stateful = self.objective(), self.stateful()
        if line := eval_data_note(held_out, bool(self.measured), recipe.chat.max_length):
            context.say(line)
        seed_everything(seed + self.world.rank)  # of dropout, where there is any: other rows, other noise
        with explained_out_of_memory(settings, longest, stage.lora is not None):
            self.weights = weights = weights_to_train(stage, context, loaded)
            self.begin()
            self.rows = self.rows_of(self.measured, self.make)
            tasks = in_training(stage, context, loaded)
            self.totals = totals = train(
                weights,
                self.source,
                objective,
                settings,
                folder,
                evaluate=(lambda: self.evaluate(objective)) if self.rows else None,
                tasks=tasks,
                wanted=wanted(settings, recipe),
                stateful=stateful,
                title=context.name,
                console=context.console,
                about=described(stage, context, loaded),
            )
            facts = self.world.first(lambda: measured_facts(totals, tasks)) | self.before_saving()
        if "eval_loss" in totals:
            totals["eval_loss"]["unit"] = self.loss_unit
        for name, value in facts.items():
            context.say(f"{name}: {value}")
        with weights.whole(), working("model: saving"):
            self.world.first(lambda: loaded.save(folder, always_said(stage.mixture)))
        warnings = totals.pop("warnings")
        for warning in warnings:
            context.say(f"warning: {warning}", style="yellow")
        measures = {name: metric.to_dict() for name, metric in tasks.metrics.items()} if tasks else {}
        return StageResult(totals=totals, mask=data.report.to_dict(), warnings=warnings, facts=facts, measures=measures)

    def rows_of(self, examples: Sequence[Any], make: Callable[[Sequence[Any]], Batch]) -> list[Batch]:
        """This rank's share of the rows of all examples."""
        return rows_of(examples, self.settings.micro_batch_tokens, make, self.world.rank, self.world.size)

    def everything(self) -> list[Any]:
        """All examples or groups to train on."""
        mixture = self.source.mixture
        return [mixture[index] for index in range(len(mixture))]

    def positions(self) -> range:
        """Places, counted over all epochs, that the run will train on, or may where it goes back: then what came since
        is left out, and as much follows at the end."""
        settings = self.settings
        steps = min(self.source.steps, settings.max_steps or self.source.steps)
        times = 1 + settings.max_rollbacks if settings.goes_back else 1
        return range(times * steps * settings.global_batch_size)

    def drawn(self) -> list[Any]:
        """What stands at these, once each or all that there is: a short run of much data asks for few."""
        if len(self.positions()) >= self.source.mixture.length(0):
            return self.everything()
        return [self.source.example(position) for position in self.positions()]

    def evaluate(self, objective: Objective) -> dict[str, float]:
        """The objective on ``rows`` with the weights of the moment."""
        return evaluation(self.loaded.policy, objective, self.complete(self.rows, self.measured), self.world)

    def evaluations(self) -> list[dict[str, float]]:
        """Every evaluation of the run so far, those before it was stopped too, in order."""
        file = self.context.folder / "metrics.jsonl"
        lines = self.world.first(lambda: file.read_text(encoding="utf-8").splitlines())
        return [row for line in lines if "eval_loss" in (row := json.loads(line))]
