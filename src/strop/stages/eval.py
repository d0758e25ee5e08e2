"""Measure the model as it is at this point."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from strop.data.files import data_files
from strop.data.keys import files_digest
from strop.stages.base import Context, Stage, StageResult, register

if TYPE_CHECKING:
    from strop.config.recipe import Recipe

RESULTS = 4
"""Raised when what is kept of an item changes, so that older results are not compared with new ones."""


@register("eval")
class EvalStage(Stage):
    """Measure the model on the recipe's ``evals``; every item goes to ``evals/<task>.jsonl`` in the stage's folder."""

    kind: Literal["eval"]
    if_stopped: ClassVar[str] = "answers that were given are kept, and the same command goes on from there"

    def check(self, recipe: Recipe) -> None:
        if not recipe.evals:
            raise ValueError(
                "measures nothing, since the recipe has no `evals`; name what to measure, e.g. "
                "evals: {general_chat: {}}, or drop the stage."
            )

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        files = dict(_paths(recipe))
        return {
            "evals": {name: task.model_dump(mode="json") for name, task in recipe.evals.items()},
            "files": {name: files_digest(_files(path)) for name, path in files.items()},
            "results": RESULTS,
            **({} if recipe.rollout.arithmetic == "torch" else {"engine": recipe.rollout.arithmetic}),
        }

    def local_data(self, recipe: Recipe) -> Iterator[Path]:
        yield from (path for _, path in _paths(recipe))

    def preflight(self, context: Context) -> None:
        from strop.evals.preflight import check_evals

        check_evals(context.recipe.evals, context.recipe.chat, context.model)

    def run(self, context: Context) -> StageResult:
        from strop.evals.measure import Measurement
        from strop.rollout.engines import open_engine
        from strop.rollout.loaded import load

        recipe, compute = context.recipe, context.recipe.compute
        loaded = load(context.model, recipe.chat, context.compute, name=context.model_name, say=context.say)
        folder = context.folder
        with open_engine(
            recipe.rollout, loaded, context.model, max_rows=compute.max_rows, cache_gb=compute.cache_gb,
            log=folder / "vllm.log", say=context.say,
        ) as engine:  # fmt: skip
            measurement = Measurement(
                context.model, loaded.policy, loaded.tokenizer, loaded.encoder, engine, folder / "evals",
                context.console,
            )  # fmt: skip
            return StageResult(**measurement.run(recipe.evals))


def _paths(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    """Every file and folder that a task of the recipe names, with where it does."""
    for name, task in recipe.evals.items():
        for field, value in task:
            if isinstance(value, Path):
                yield (name if field == "path" else f"{name}.{field}"), value
        environment = getattr(task, "environment", None)
        for number, path in enumerate(environment.files() if environment else ()):
            yield f"{name}.environment.{number}", path


def _files(path: Path) -> list[Path]:
    """All files of a folder, since which of them a task reads is its own business."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else data_files(path)
