"""Files of tasks: what one holds, and its items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.chat.formats import name_format
from strop.chat.task_rows import CHOICE_LAYOUTS, CODE_CONTESTS, HUMANEVAL, MBPP, MMLU, PROBLEMS, TaskLayout, name_tasks
from strop.data.files import open_rows
from strop.errors import InputError
from strop.tasks import choice, humaneval, mbpp
from strop.tasks.records import load_records

_LOADERS = {
    PROBLEMS: load_records,
    CODE_CONTESTS: load_records,
    HUMANEVAL: humaneval.load,
    MBPP: mbpp.load,
    **dict.fromkeys(CHOICE_LAYOUTS, choice.load),
}
_KNOWN = "give problems with tests, HumanEval, MBPP or CodeContests, or multiple-choice questions"
_FORMATS = {"preference": "preference pairs", "alpaca": "instructions and outputs"}
_TEXT = TaskLayout("text", "plain text")


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
        return MMLU
    if ".txt" in (suffix.lower() for suffix in path.suffixes[-2:]):
        return None
    return name_tasks(_first_row(path))


def load_tasks(path: Path, count: int | None = None) -> TaskFile:
    """The items of a file of tasks, or the first ``count``.

    Raises InputError when the file cannot be read, has a wrong row, or holds something else: the message then says what
    that is and what to write instead.
    """
    path = Path(path)
    layout = what_tasks(path)
    if layout is None:
        row = {"text": ""} if path.suffix == ".txt" else _first_row(path)
        kind = name_format(row)
        if kind == "prompt_response" or (
            not any(column in row for column in ("messages", "conversations")) and "tests" in row
        ):
            layout = PROBLEMS  # whose tests, or whose text, are missing: its reader says so
        elif kind == "unknown":
            columns = ", ".join(sorted(map(str, row))[:20])
            raise InputError(f"{path}: holds no tasks that are known, but rows of {columns}; {_KNOWN}.")
        elif kind == "text":
            layout = _TEXT
        else:
            layout = TaskLayout("conversations", _FORMATS.get(kind, "conversations"), trained=True)
    if layout not in _LOADERS:
        use = layout.use if layout != _TEXT else "train on it as data: [{path: FILE, format: text}] of a stage"
        use = use.replace("FILE", str(path))
        raise InputError(f"{path}: holds {layout.name}, and no problems with tests; {use}.")
    return TaskFile(layout, _LOADERS[layout](path)[:count])


def load_measured(path: Path, count: int | None = None) -> TaskFile:
    """The same, of what an evaluation can measure. Raises InputError for what it cannot, saying what the file holds."""
    found = load_tasks(path, count)
    if not found.layout.measured:
        raise InputError(
            f"{path}: holds {found.layout.name}, which no evaluation measures yet; drop it from evals, or name a file "
            "of problems with tests, HumanEval or MBPP."
        )
    return found


def _first_row(path: Path) -> Any:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the file of tasks in it.")
    return next(iter(open_rows(path)))[1]
