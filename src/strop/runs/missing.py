"""Data that a recipe names and that are not to be had: all of them named at once, and left out where that is allowed.

Of a file or folder it is looked whether it is there; of a data set on the hub, whether the hub answers for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from strop.common.errors import InputError, NotReachable
from strop.config.problems import keys_of
from strop.config.recipe import Recipe
from strop.data.files import data_files
from strop.data.keys import hub_commit
from strop.data.readers import FileSet
from strop.tasks.base import TASKS, TaskSettings, named_sets

_DATA = ("data", "eval_data")


class Missing(NamedTuple):
    """``place``: where the recipe names it, by keys and positions; ``reason``: a sentence."""

    place: tuple[str | int, ...]
    reason: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.place))}: {self.reason}"


def missing(recipe: Recipe) -> list[Missing]:
    """What cannot be had of the data of stages and evals, in the recipe's order."""
    found: list[Missing] = []
    for name, task in recipe.evals.items():
        found += _found(("evals", name), _of_task(name, task))
    for name, stage in recipe.stages.items():
        for field in _DATA:
            parts, *way = _parts(getattr(stage, field, None))
            for number, part in enumerate(parts):
                found += _found(("stages", name, field, *way, number), _of_part(part))
    return found


@contextmanager
def all_named(recipe: Recipe) -> Iterator[None]:
    """Where the work inside meets data that cannot be had, everything of the recipe that cannot is named."""
    try:
        yield
    except NotReachable as error:
        found = missing(recipe)
        if not found:
            raise
        said = [str(error)] if len(found) == 1 else list(map(str, found))
        with suppress(InputError):
            without(recipe, found)
            said[-1] += " (--allow-missing runs without what cannot be had)"
        raise InputError("\n".join(said)) from error


def without(recipe: Recipe, left_out: list[Missing]) -> tuple[Recipe, list[Missing]]:
    """The recipe without them, and what else goes, since it needs them: gates, and what is measured while training.
    Raises InputError where nothing would be left of what a stage needs."""
    values = recipe.model_dump(mode="json")
    for one in reversed(left_out):  # later positions of a list first
        *way, last = one.place
        inside: Any = values
        for key in way:
            inside = inside[key]
        del inside[last]
    gone, also = {one.place[1] for one in left_out if one.place[0] == "evals"}, []
    for name, stage in values["stages"].items():
        train, at = stage.get("train", {}), ("stages", name, "train")
        for task in [one for one in train.get("tasks", {}) if one in gone]:
            del train["tasks"][task]
            also.append(Missing((*at, "tasks", task), "is not measured while training."))
        if gone and not train.get("tasks") and train.get("tasks_every"):
            train["tasks_every"] = None
        if not stage.get("eval_data", True) and train.get("eval_every"):
            train["eval_every"] = None
            also.append(Missing((*at, "eval_every"), "there is no evaluation loss without eval_data."))
    measured = {name.partition(".")[0] for name in values["evals"]}
    for name in [one for one in values["gates"] if _gone(one.partition(".")[0], gone, measured)]:
        del values["gates"][name]
        also.append(Missing(("gates", name), "is not looked at."))
    try:
        return type(recipe).model_validate(values), also
    except ValidationError as error:
        said = error.errors()[0]
        where = ".".join(keys_of(said["loc"], type(recipe), values))
        reasons = "\n".join(map(str, left_out))
        raise InputError(
            f"{reasons}\nwithout these the recipe cannot run ({where}: {said['msg'].removeprefix('Value error, ')}); "
            "give them."
        ) from None


def _gone(name: str, gone: set[str | int], measured: set[str]) -> bool:
    """Whether a gate's name is of a task that went: ``mmlu.acc``, or with the task's prefix ``mmlu_acc``."""
    if name in measured or any(name.startswith(f"{one}_") for one in measured):
        return False
    return any(name == one or name.startswith(f"{one}_") for one in gone)


def _found(place: tuple[str | int, ...], checks: Iterator[Any]) -> Iterator[Missing]:
    try:
        for _ in checks:
            pass
    except NotReachable as error:
        yield Missing(place, str(error))


def _parts(value: Any) -> tuple[Any, ...]:
    """The parts of a mixture, and the keys that lead to them."""
    if isinstance(value, list):
        return (value,)
    return (value.parts, "parts") if hasattr(value, "parts") else ([],)


def _of_part(part: Any) -> Iterator[object]:
    if part.path is not None:
        yield data_files(part.path, part.split, getattr(part, "subset", None))
    elif part.hub is not None:
        yield _answers(part.hub, part.revision)
    elif part.task is not None:
        of_set, task = named_sets().get(part.task), TASKS.get(part.task)
        hub = of_set.hub if isinstance(of_set, FileSet) else None if of_set or task is None else task.hub
        if hub:
            yield _answers(hub, None)


def _of_task(name: str, task: TaskSettings) -> Iterator[object]:
    for _, value in task:
        if isinstance(value, Path) and not value.exists():
            raise NotReachable(f"{value}: there is no such file; check the path (it is relative to where you are).")
    hub = TASKS[task.task or name].hub if (task.task or name) in TASKS else None
    if task.path is None and hub is not None:
        yield _answers(hub, None)


def _answers(hub: str, revision: str | None) -> str:
    said = _asked(hub, revision)
    if isinstance(said, NotReachable):
        raise said
    return said


@cache
def _asked(hub: str, revision: str | None) -> str | NotReachable:
    """Once for each data set: where there is no network every question takes its time."""
    try:
        return hub_commit(hub, revision)
    except NotReachable as error:
        return error
