"""Rows from data files of every usual kind, one at a time, each with the place that messages about it will name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

from strop.chat.formats import check_format
from strop.common.errors import InputError
from strop.data.hub import disk_rows, hub_rows, is_saved_dataset
from strop.data.json_files import json_rows
from strop.data.json_lines import json_lines
from strop.data.paths import files_of, kind_of, within
from strop.data.rows import OnBad, Row, Say, refuse, silent
from strop.data.slices import Slice, parse_split
from strop.data.splits import known_as, split_of
from strop.data.tables import columnar_rows, csv_rows
from strop.data.text_files import Documents, text_rows

READERS: dict[str, Callable[..., Iterator[Row]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": columnar_rows,
    ".arrow": columnar_rows,
    ".feather": columnar_rows,
    ".txt": text_rows,
}


def open_rows(
    path: Path | None = None,
    hub: str | None = None,
    *,
    format: str = "auto",
    split: str = "train",
    revision: str | None = None,
    subset: str | None = None,
    count: int | None = None,
    documents: Documents = "file",
    on_bad: OnBad | None = None,
    say: Say = silent,
) -> Iterator[Row]:
    """The rows of a file, a folder or a hub id, read as they are asked for: never all of them at once.

    Args:
        path: a .jsonl, .ndjson, .json, .csv, .tsv or .txt file (also .gz or .zst of these), .parquet, .arrow or
            .feather, a folder of such files (read in the order of their names), or what ``Dataset.save_to_disk`` wrote.
        hub: the name of a dataset on the Hugging Face hub instead, e.g. ``openai/gsm8k``; it is streamed.
        format: what `strop.chat.formats.parse_row` will take the rows for; only its name is checked here.
        split: of the hub's dataset; of a folder, the files that are named after it, where any is named after a split; a
            single file is ``train``, and what it is named after. Also a slice (``train[:100]``, ``train[10%:]``), or
            several joined by ``+``. Slices count rows that cannot be read, too.
        revision: branch, tag or commit on the hub.
        subset: the configuration on the hub; of a folder, the folder in it.
        count: the first so many rows.
        documents: what one document of a .txt file is.
        on_bad: gets the error of a row that cannot be read, which is then skipped; without it, the error is raised.
            What leaves no way to find the next row is raised in any case.
        say: gets what there is to know about how the files are read, and what is left out.

    Raises:
        InputError: at once for what is not there, and while reading for what cannot be read.
    """
    check_format(format)
    pieces = parse_split(split)
    if (path is None) == (hub is None):
        raise InputError("give either path (a file or folder) or hub (the name of a dataset on the hub).")
    bad: list[InputError] = []

    def note(error: InputError) -> None:
        bad.append(error)
        on_bad(error)

    handler = note if on_bad else None
    if hub is not None:
        found = [hub_rows(hub, subset, piece, revision, handler) for piece in pieces]
        return _some(found, count, hub, split, bad)
    path = Path(path)
    if revision is not None:
        raise InputError(f"{path}: a revision is for data on the hub; give hub instead of path, or drop it.")
    path = within(path, subset)
    if is_saved_dataset(path):
        found = [disk_rows(path, piece, handler) for piece in pieces]
        return _some(found, count, str(path), split, bad)
    chosen = [files_of(path, piece.name) for piece in pieces]
    for remark in dict.fromkeys(remark for _, remarks in chosen for remark in remarks):
        say(remark)
    found = []
    for piece, (files, _) in zip(pieces, chosen, strict=True):
        every = partial(_all_rows, files, _inside(path, piece.name), documents)
        found.append(_sliced(every, piece, handler, say))
    return _some(found, count, str(path), split, bad)


def _inside(path: Path, split: str) -> str:
    """Which of the lists in a JSON file are its rows: those of another split where the file itself is not of it."""
    wanted = known_as(split)
    return "train" if path.is_dir() or wanted == split_of(Path(path.name)) else wanted


def _sliced(
    every: Callable[[OnBad | None, Say], Iterator[Row]], piece: Slice, on_bad: OnBad | None, say: Say
) -> Iterator[Row]:
    """A slice of rows; what cannot be read outside of it is no concern."""
    if piece.whole:
        yield from every(on_bad, say)
        return
    first, end = piece.bounds(sum(1 for _ in _with_errors(every, silent)) if piece.needs_length else None)
    for row in islice(_with_errors(every, say), first, end):
        if isinstance(row, InputError):
            refuse(row, on_bad)
        else:
            yield row


def _with_errors(every: Callable[[OnBad, Say], Iterator[Row]], say: Say) -> Iterator[Row | InputError]:
    """The rows, and in their places the errors of those that cannot be read."""
    bad: list[InputError] = []
    for row in every(bad.append, say):
        yield from bad
        bad.clear()
        yield row
    yield from bad


def _all_rows(
    files: Iterable[Path], inside: str, documents: Documents, on_bad: OnBad | None, say: Say
) -> Iterator[Row]:
    more = {".json": {"split": inside}, ".txt": {"documents": documents}}
    for file in files:
        kind = kind_of(file)
        yield from READERS[kind](file, on_bad, say, **more.get(kind, {}))


def _some(
    rows: Iterable[Iterator[Row]], count: int | None, name: str, split: str, bad: list[InputError]
) -> Iterator[Row]:
    """The first ``count`` rows of all. Raises InputError at the end when there was none, good or bad."""
    empty = True
    for row in islice(chain.from_iterable(rows), count):
        empty = False
        yield row
    if empty and not bad and count != 0:
        if all(piece.whole for piece in parse_split(split)):
            raise InputError(f"{name}: holds no row; put one conversation in each, e.g. one JSON object on each line.")
        raise InputError(f"{name}: {split} takes none of its rows; choose a slice within what is there.")
