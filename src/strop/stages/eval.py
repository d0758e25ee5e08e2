"""Measure the model as it is at this point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from strop.stages._evals import task_inputs, task_paths
from strop.stages.base import Context, Stage, StageResult, register

if TYPE_CHECKING:
    from strop.config.recipe import Recipe

RESULTS = 5
"""Raised when what is kept of an item changes, so that older results are not compared with new ones."""


@register("eval")
class EvalStage(Stage):
    """Measure the model on the recipe's ``evals``; every item goes to ``evals/<task>.jsonl`` in the stage's folder."""

    kind: Literal["eval"]
    judges_anew: ClassVar[bool] = True
    if_stopped: ClassVar[str] = "answers that were given are kept, and the same command goes on from there"

    def check(self, recipe: Recipe) -> None:
        if not recipe.evals:
            raise ValueError(
                "measures nothing, since the recipe has no `evals`; name what to measure, e.g. "
                "evals: {general_chat: {}}, or drop the stage."
            )

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        return {
            **task_inputs(recipe.evals),
            "results": RESULTS,
            **({} if recipe.rollout.arithmetic == "torch" else {"engine": recipe.rollout.arithmetic}),
        }

    def local_data(self, recipe: Recipe) -> Iterator[Path]:
        yield from (path for _, path in task_paths(recipe.evals))

    def preflight(self, context: Context) -> None:
        from strop.evals.preflight import check_evals

        check_evals(context.recipe.evals, context.recipe.chat, context.model)

    def run(self, context: Context) -> StageResult:
        from strop.evals.measure import Measurement
        from strop.rollout.engines import open_engine
        from strop.rollout.loaded import load
        from strop.rollout.ranks import shared_work

        recipe, compute = context.recipe, context.recipe.compute
        loaded = load(context.model, recipe.chat, context.compute, name=context.model_name, say=context.say)
        folder, world = context.folder, context.world

        def measured(engine: Any) -> dict[str, Any]:
            given = context.model, loaded.policy, loaded.tokenizer, loaded.encoder, engine, folder / "evals"
            measurement = Measurement(
                *given, context.console, on_task=lambda found: context.so_far(StageResult(**found))
            )
            return measurement.run(recipe.evals)

        def through_an_engine(work: Callable[[Any], dict[str, Any]] = measured) -> dict[str, Any]:
            with open_engine(
                recipe.rollout, loaded, context.model, max_rows=compute.max_rows, cache_gb=compute.cache_gb,
                log=folder / "vllm.log", say=context.say,
            ) as engine:  # fmt: skip
                return work(engine)

        if recipe.rollout.engine == "torch":  # of several ranks each computes its share of the answers
            return StageResult(**through_an_engine(lambda engine: shared_work(engine, world, measured)))
        return StageResult(**world.first(through_an_engine))
