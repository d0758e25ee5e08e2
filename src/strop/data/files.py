"""Rows from data files of every usual kind, one at a time, each with the place that messages about it will name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from strop.chat.formats import check_format
from strop.data.hub import disk_rows, hub_rows, is_saved_dataset
from strop.data.json_files import json_lines, json_rows
from strop.data.rows import OnBad, Row, reading
from strop.data.tables import arrow_rows, csv_rows, parquet_rows
from strop.errors import InputError

_READERS: dict[str, Callable[[Path, OnBad | None], Iterator[Row]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
    ".arrow": arrow_rows,
    ".feather": arrow_rows,
}
_COMPRESSIBLE = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_COMPRESSED = (".gz", ".zst")
# What `datasets` and the hub write beside the data.
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_SPLITS = {"val": "validation", "valid": "validation", "dev": "validation", "eval": "validation"}
_SPLIT_NAME = re.compile(
    r"(?:.*[-_.])?(train|test|validation|valid|val|dev|eval)(?:[-_.]?\d+(?:-of-\d+)?)?(?:-[0-9a-f]{16})?"
)


def open_rows(
    path: Path | None = None,
    hub: str | None = None,
    *,
    format: str = "auto",
    split: str = "train",
    revision: str | None = None,
    subset: str | None = None,
    count: int | None = None,
    on_bad: OnBad | None = None,
) -> Iterator[Row]:
    """The rows of a file, a folder or a hub id, read as they are asked for: never all of them at once.

    Args:
        path: a .jsonl, .ndjson, .json, .csv or .tsv file (also .gz or .zst of these), .parquet, .arrow or .feather, a
            folder of such files (read in the order of their names), or what ``Dataset.save_to_disk`` wrote.
        hub: the name of a dataset on the Hugging Face hub instead, e.g. ``openai/gsm8k``; it is streamed.
        format: what `strop.chat.formats.parse_row` will take the rows for; only its name is checked here.
        split: of the hub's dataset; of a folder, the files that are named after it, where any is named after a split.
        revision: branch, tag or commit on the hub.
        subset: the configuration on the hub; of a folder, the folder in it.
        count: the first so many rows.
        on_bad: gets the error of a row that cannot be read, which is then skipped; without it, the error is raised.
            What leaves no way to find the next row is raised in any case.

    Raises:
        InputError: at once for what is not there, and while reading for what cannot be read.
    """
    check_format(format)
    if (path is None) == (hub is None):
        raise InputError("give either path (a file or folder) or hub (the name of a dataset on the hub).")
    if hub is not None:
        return _some(hub_rows(hub, subset, split, revision), count, hub, [])
    path = Path(path)
    if revision is not None:
        raise InputError(f"{path}: a revision is for data on the hub; give hub instead of path, or drop it.")
    bad: list[None] = []

    def note(error: InputError) -> None:
        bad.append(None)
        on_bad(error)

    path = _within(path, subset)
    if is_saved_dataset(path):
        return _some(disk_rows(path, split), count, str(path), bad)
    files = data_files(path, split)
    return _some(_all_rows(files, note if on_bad else None), count, str(path), bad)


def data_files(path: Path, split: str = "train", subset: str | None = None) -> list[Path]:
    """The files that a path stands for, in the order in which they are read. Raises InputError when there is none."""
    path = _within(path, subset)
    with reading(path):
        if not path.is_dir():
            path.stat()
            _reader(path)
            return [path]
        found = sorted(file for file in path.rglob("*") if file.is_file() and _is_shown(file.relative_to(path)))
    if is_saved_dataset(path):
        return [
            file for file in found if not (path / "dataset_dict.json").exists() or file.is_relative_to(path / split)
        ]
    found = [file for file in found if file.name not in _NOT_DATA and _kind(file) in _READERS]
    if not found:
        raise InputError(f"{path}: no data file in this folder; known are {_known()}.")
    splits = {file: _split_of(file.relative_to(path)) for file in found}
    named = sorted({name for name in splits.values() if name})
    wanted = _SPLITS.get(split, split)
    if named and wanted not in named:
        raise InputError(f"{path}: no file is named after the split {split}, but after {', '.join(named)}; choose one.")
    # A file named after no split is training data, as everywhere.
    return [file for file in found if not named or (splits[file] or "train") == wanted]


def _all_rows(files: Iterable[Path], on_bad: OnBad | None) -> Iterator[Row]:
    for file in files:
        yield from _reader(file)(file, on_bad)


def _some(rows: Iterator[Row], count: int | None, name: str, bad: list[None]) -> Iterator[Row]:
    """The first ``count`` rows. Raises InputError at the end when there was none, good or bad."""
    empty = True
    for row in islice(rows, count):
        empty = False
        yield row
    if empty and not bad and count != 0:
        raise InputError(f"{name}: holds no row; put one conversation in each, e.g. one JSON object on each line.")


def _within(path: Path, subset: str | None) -> Path:
    if subset is None:
        return path
    if not (path / subset).is_dir():
        raise InputError(f"{path}: there is no folder {subset} in it, so no such subset; drop subset or correct it.")
    return path / subset


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if len(suffixes) == 2 and suffixes[1] in _COMPRESSED and suffixes[0] in _COMPRESSIBLE:
        return suffixes[0]
    return suffixes[-1] if suffixes else ""


def _reader(path: Path) -> Callable[[Path, OnBad | None], Iterator[Row]]:
    reader = _READERS.get(_kind(path))
    if reader is None:
        raise InputError(f"{path}: there is no reader for this kind of file; known are {_known()}.")
    return reader


def _known() -> str:
    return f"{', '.join(_READERS)} ({' or '.join(_COMPRESSED)} after those that are text)"


def _is_shown(path: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.parts)


def _split_of(path: Path) -> str | None:
    """The split that a file or the folder that it lies in is named after."""
    for name in (path.name.partition(".")[0], *reversed(path.parts[:-1])):
        if match := _SPLIT_NAME.fullmatch(name.lower()):
            return _SPLITS.get(match[1], match[1])
    return None
