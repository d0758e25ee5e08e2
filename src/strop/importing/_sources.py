"""Where data come from: a file or folder here, or a data set on the hub; and what can be read off a file at once."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any

from strop.chat.formats import name_format
from strop.common.errors import InputError
from strop.data.files import READERS, open_rows
from strop.data.settings import part_of

BUILDERS = ("json", "parquet", "csv", "text", "arrow", "pandas")
"""What stands for a data set where ``data_files`` are the data: how `datasets` reads them."""
REMOTE = ("s3://", "gs://", "gcs://", "az://", "https://", "http://", "hdfs://")


def part(name: str, beside: Iterable[Path] = (), **more: Any) -> dict[str, Any]:
    """A part of a mixture: ``name`` as a path (as it is, or in one of the folders ``beside``), or on the hub."""
    if name.startswith(REMOTE):
        raise InputError(f"{name}: strop reads files of this machine and data sets on the hub; download it, and give "
                         "its path.")  # fmt: skip
    if isinstance(more.get("subset"), bool):  # the language, as YAML reads it
        more["subset"] = "yes" if more["subset"] else "no"
    more = {key: value for key, value in more.items() if value not in (None, {}, "")}
    expanded = Path(name).expanduser()
    places = [expanded, *(folder / name for folder in beside)]
    if (found := next((place for place in places if place.exists()), None)) is not None:
        return {"path": str(found), **more}
    looks_like_file = name.startswith((".", "~", "/")) or any(s.lower() in READERS for s in expanded.suffixes)
    given = {"path": str(expanded)} if looks_like_file else part_of(name)
    return {key: str(value) if isinstance(value, Path) else value for key, value in given.items()} | more


def named_files(name: str, files: Any, split: str = "train") -> list[str] | None:
    """The ``data_files`` of a data set: those that ``name`` (``json``) reads, or that lie in the folder ``name``; None
    where they are of a repository. Patterns are filled in as far as there is something here; of files by their split
    those of ``split``."""
    files = files.get(split.partition("[")[0]) if isinstance(files, Mapping) else files
    listed = [str(one) for one in (files if isinstance(files, list) else [files] if files else [])]
    folder = Path(name).expanduser()
    if name not in BUILDERS and not folder.is_dir():
        return None
    places = listed if name in BUILDERS else [str(folder / one) for one in listed]
    return [one for place in places for one in sorted(glob(place, recursive=True)) or [place]]


def is_there(one: dict[str, Any]) -> bool:
    return "path" in one and Path(one["path"]).exists()


def shape(one: dict[str, Any]) -> str | None:
    """What strop takes the first row of a file for; None where the file is not here."""
    if not is_there(one):
        return None
    more = {key: one[key] for key in ("split", "subset") if key in one}
    return name_format(next(iter(open_rows(Path(one["path"]), **more)))[1])


def count_rows(parts: Iterable[dict[str, Any]]) -> int | None:
    """How many rows all of them hold; None where one is not here."""
    total = 0
    for one in parts:
        if not is_there(one):
            return None
        found = Path(one["path"]).stat()
        total += min(
            _rows(one["path"], one.get("split"), one.get("subset"), found.st_size, found.st_mtime_ns),
            one.get("count", sys.maxsize),
        )
    return total


@cache
def _rows(path: str, split: str | None, subset: str | None, size: int, changed: int) -> int:
    """Of one file or folder, which has ``size`` and was ``changed`` then."""
    given = {key: value for key, value in (("split", split), ("subset", subset)) if value is not None}
    more: dict[str, Any] = dict(given)
    return sum(1 for _ in open_rows(Path(path), **more))


def steps_of_epoch(data: Any, size: int, held_out: float = 0.0) -> int | None:
    """Optimiser steps of ``size`` rows each in one epoch of ``data``, a list of parts of which ``held_out`` is the part
    that is not trained on; None where one is not here, or for another mixture than parts in full."""
    rows = count_rows(data) if isinstance(data, list) and data else None
    return None if rows is None else max(1, math.ceil(rows * (1 - held_out) / size))
