"""Which rows of a folder a task reads where the task has no setting for it, and what is said of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.data.files import open_rows, splits_in
from strop.data.rows import Row, Say, silent
from strop.data.slices import known_as, names_of

_LISTED = 5


def own_rows(path: Path | None, say: Say = silent, split: str = "test", **how: Any) -> Iterator[Row]:
    """The rows of a file; of a folder those of ``split``, or of the only one that it has, which is said where there
    are others. ``how``: of `strop.data.files.open_rows`.

    Raises InputError for a folder of several splits without that one.
    """
    if path is None or not Path(path).is_dir():
        return open_rows(path, say=say, **how)
    there = splits_in(path)
    if len(there) == 1:
        [split] = there
    if split not in there:
        raise InputError(
            f"{path}: has the splits {', '.join(there)} and not {split}, so which of them is meant is not known; name "
            "one file of it."
        )
    say_split(path, split, say)
    return open_rows(path, split=split, say=_but_splits(say), **how)


def say_split(path: Path, split: str, say: Say, subset: str | None = None) -> None:
    """What of a folder is read as ``split``, where it has others."""
    there, named = splits_in(path, subset), {known_as(name) for name in names_of(split)}
    shown = {known_as(name): f"{name}{_files(files, path)}" for name, files in there.items()}
    left = [text for name, text in shown.items() if name not in named]
    if left and len(left) < len(shown):
        read = ", ".join(text for name, text in shown.items() if name in named)
        say(f"{path}: read its split {read}; left out {', '.join(left)}")


def _files(files: Sequence[Path], folder: Path) -> str:
    if not files:
        return ""
    names = [str(file.relative_to(folder)) for file in files[:_LISTED]]
    more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    return f" ({', '.join(names)}{more})"


def _but_splits(say: Say) -> Say:
    """What the reader has to say, without its own word on splits."""

    def others(remark: str) -> None:
        if "; left out as other splits: " not in remark:
            say(remark)

    return others


def problem_rows(path: Path, say: Say = silent, split: str | None = "test") -> list[Row]:
    """The rows of one set of problems, each with a ``task_id`` of its own, as `own_rows` reads them; without ``split``
    those of all splits of a folder.

    Raises InputError where a folder holds the set twice, as the hub's do that have a folder for each version.
    """
    if not Path(path).is_dir():
        return list(open_rows(path, say=say))
    if split:
        rows = list(own_rows(path, say, split))
    else:
        there = splits_in(path)
        rows = list(open_rows(path, split="+".join(there), say=say))
        if len(there) > 1:
            say(f"{path}: read all of its splits, {', '.join(there)}")
    places: dict[str, str] = {}
    for place, row in rows:
        if (name := row.get("task_id")) is None:
            continue
        if str(name) in places:
            raise InputError(
                f"{path}: task_id {name} is there twice, {places[str(name)]} and {place}; name one folder "
                "or file in it."
            )
        places[str(name)] = place
    return rows
