"""Files of tasks: what one holds, and its items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.chat.formats import FORMATS, name_format
from strop.common.errors import InputError
from strop.data.files import open_rows
from strop.tasks import choice, evalplus, humaneval, layouts, mbpp, mbpp_plus
from strop.tasks.base import TASKS, Task, TaskSettings, unknown_task
from strop.tasks.functions import ProblemTask
from strop.tasks.layouts import TaskLayout, name_tasks
from strop.tasks.records import load_records

_LOADERS: dict[TaskLayout, Callable[[Path], list[Any]]] = {
    layouts.PROBLEMS: load_records,
    layouts.CODE_CONTESTS: load_records,
    layouts.HUMANEVAL_PLUS: evalplus.load,
    layouts.MBPP_PLUS: mbpp_plus.load,
    layouts.HUMANEVAL: humaneval.load,
    layouts.MBPP: mbpp.load,
    **dict.fromkeys(layouts.CHOICE_LAYOUTS, choice.load),
}
_FORMATS = {"preference": "preference pairs", "alpaca": "instructions and outputs"}


@dataclass(frozen=True)
class TaskFile:
    """``items`` are Record, HumanEvalItem, MbppItem or ChoiceItem, by the layout; each has ``name`` and ``prompt``."""

    layout: TaskLayout
    items: list[Any]


def what_tasks(path: Path) -> TaskLayout | None:
    """What a file of tasks holds, going by the columns of its first row; None when it is no file of tasks.

    Raises InputError when the file cannot be read.
    """
    if choice.is_mmlu_csv(path):
        return layouts.MMLU
    return name_tasks(_first_row(path))


def load_tasks(path: Path, count: int | None = None) -> TaskFile:
    """The items of a file of tasks, or the first ``count``.

    Raises InputError when the file cannot be read, has a wrong row, or holds something else: the message then says what
    that is and what to write instead.
    """
    path = Path(path)
    layout = what_tasks(path) or _other(_first_row(path), path)
    if layout not in _LOADERS:
        use = layout.use.replace("FILE", str(path))
        raise InputError(f"{path}: holds {layout.name}, and no problems with tests; {use}.")
    return TaskFile(layout, _LOADERS[layout](path)[:count])


def _other(row: Mapping[str, Any], path: Path) -> TaskLayout:
    """What holds no tasks, or none that are whole. Raises InputError where nobody knows it."""
    kind = name_format(row)
    marked = str(row.get("text", "")).lstrip().startswith("### Prompt")
    if marked or kind == "prompt_response" or (kind not in FORMATS and "tests" in row):
        return layouts.PROBLEMS  # whose tests, or whose text, are missing: their reader says so
    if kind == "text":
        return layouts.TEXT
    if kind not in FORMATS:
        columns = ", ".join(sorted(map(str, row))[:20])
        raise InputError(
            f"{path}: holds no tasks that are known, but rows of {columns}; give problems with tests, HumanEval, MBPP "
            "or CodeContests, or multiple-choice questions."
        )
    return TaskLayout(_FORMATS.get(kind, "conversations"), use=layouts.LOSS)


def open_task(name: str, settings: TaskSettings) -> Task:
    """The task that ``evals.<name>`` means: a built-in one, or by its columns a file of the user's own.

    Raises InputError when its data are not there, or for a file that holds something else, saying what that is and what
    to write instead.
    """
    kind = task_of(name, settings)
    if kind is not None:
        return kind(name, settings)
    if settings.path is None:
        raise _no_task(name, settings)
    layout = what_tasks(Path(settings.path))
    if layout is not None and layout.task:
        return TASKS[layout.task](name, settings)
    records = load_tasks(settings.path).items
    tested = [record for record in records if record.tests]
    task = ProblemTask(name, settings, (tested or records)[: settings.count])
    if tested and (untested := [record.name for record in records if not record.tests]):
        task.notes = [
            f"{len(untested):,} of {len(records):,} problems of {settings.path} have no tests, so answers to them "
            f"cannot be judged, and are left out: {', '.join(untested[:5])}"
        ]
    return task


def task_of(name: str, settings: TaskSettings) -> type[Task] | None:
    """The class of the task that ``evals.<name>`` names; None for a file that is known by its columns.

    Raises InputError where there is no such task.
    """
    kind = TASKS.get(settings.task or name)
    if kind is None and (settings.task or settings.path is None):
        raise _no_task(name, settings)
    return kind if kind is not None and (settings.path is None or kind.reads_path) else None


def _no_task(name: str, settings: TaskSettings) -> InputError:
    return InputError(f"evals.{name}: {unknown_task(settings.task or name, settings.path, bool(settings.task))}")


def _first_row(path: Path) -> Any:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the file of tasks in it.")
    return next(iter(open_rows(path)))[1]
