"""Which tasks a stage measures: the recipe's, or those of them that a training names; what their results depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from strop.common.errors import InputError
from strop.data.files import data_files
from strop.data.keys import files_digest
from strop.evals.gates import metric_named
from strop.tasks import open_task
from strop.tasks.base import TaskSettings
from strop.train.evaluations import Wanted
from strop.train.settings import StepSettings

if TYPE_CHECKING:
    from strop.config.recipe import Recipe
    from strop.stages.base import Context

EVAL_LOSS = "eval_loss"


def task_inputs(evals: Mapping[str, TaskSettings]) -> dict[str, Any]:
    """The settings of tasks, and digests of the files that they name."""
    return {
        "evals": {name: task.model_dump(mode="json") for name, task in evals.items()},
        "files": {name: files_digest(_files(path)) for name, path in task_paths(evals)},
    }


def task_paths(evals: Mapping[str, TaskSettings]) -> Iterator[tuple[str, Path]]:
    """Every file and folder that a task names, with where it does."""
    for name, task in evals.items():
        for field, value in task:
            if isinstance(value, Path):
                yield (name if field == "path" else f"{name}.{field}"), value
        environment = getattr(task, "environment", None)
        for number, path in enumerate(environment.files() if environment else ()):
            yield f"{name}.environment.{number}", path


def _files(path: Path) -> list[Path]:
    """All files of a folder, since which of them a task reads is its own business."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else data_files(path)


def tasks_in_training(train: StepSettings, recipe: Recipe) -> dict[str, TaskSettings]:
    """The tasks that a training measures: the recipe's settings with those of ``train.tasks`` on top.

    Raises ValueError for one that is not among the recipe's evals, and for a setting that it does not have.
    """
    found = {}
    for name, given in train.tasks.items():
        if name not in recipe.evals:
            known = ", ".join(recipe.evals) or "none"
            raise ValueError(f"train.tasks.{name}: is not among the recipe's evals ({known}); add it there.")
        base = recipe.evals[name]
        try:
            found[name] = type(base).model_validate({**base.model_dump(exclude_unset=True), **given})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, ("train.tasks", name, *first["loc"])))
            if first["type"] == "extra_forbidden":
                raise ValueError(
                    f"{where}: is none of this task's settings ({', '.join(type(base).model_fields)})."
                ) from None
            raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    return found


def check_in_training(train: StepSettings, recipe: Recipe, *, has_loss: bool) -> None:
    """Raises ValueError for tasks that cannot be measured, and where what is to be best is not measured.
    ``has_loss``: whether there are data for an evaluation loss."""
    tasks_in_training(train, recipe)
    if train.keep_best == EVAL_LOSS and not has_loss:
        raise ValueError("train.keep_best: there is no evaluation loss; give eval_data, or keep_best a task's metric.")
    if train.keep_best not in (None, EVAL_LOSS) and not train.tasks:
        raise ValueError(f"train.keep_best: {train.keep_best} is not measured; name its task: train.tasks: [NAME].")


def wanted(train: StepSettings, recipe: Recipe) -> Wanted | None:
    """What is to be best. Raises InputError for a metric that is not measured, or that has no direction."""
    if train.keep_best is None:
        return None
    if train.keep_best == EVAL_LOSS:
        return Wanted(EVAL_LOSS, EVAL_LOSS, -1)
    measures = {name: open_task(name, task).measures() for name, task in tasks_in_training(train, recipe).items()}
    name = metric_named(train.keep_best, {task: list(own) for task, own in measures.items()}, "train.keep_best: ")
    better = next(own[name].better for own in measures.values() if name in own)
    if not better:
        raise InputError(f"train.keep_best: of {name} neither more nor less is better; name another metric.")
    return Wanted(f"tasks/{name}", name, better)


def check_tasks(train: StepSettings, context: Context) -> None:
    """Raise InputError for what would stop a measurement in the training, before the first stage begins."""
    from strop.evals.preflight import check_evals

    if tasks := tasks_in_training(train, context.recipe):
        check_evals(tasks, context.recipe.chat, context.model)
    wanted(train, context.recipe)
