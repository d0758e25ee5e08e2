"""Rows from data files of every usual kind, one at a time, each with the place that messages about it will name; and
which files a path stands for: one, or those of a folder that belong to a split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path

from strop.chat.formats import check_format
from strop.common.errors import InputError
from strop.data.hub import disk_rows, hub_rows, is_saved_dataset, saved_folder, saved_splits
from strop.data.json_files import json_lines, json_rows
from strop.data.rows import OnBad, Row, Say, reading, refuse, silent
from strop.data.slices import Slice, known_as, names_of, parse_split, split_of
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
_COMPRESSIBLE = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")
_COMPRESSED = (".gz", ".zst")
_KNOWN = f"{', '.join(READERS)} ({' or '.join(_COMPRESSED)} after those that are text)"
# What `datasets` and the hub write beside the data.
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_ABOUT = {".md", ".rst", ".html", ".pdf", ".py", ".ipynb", ".yaml", ".yml", ".toml", ".png", ".jpg", ".svg", ".bib", ""}
"""Kinds of files that say something about the data."""
_EITHER = "give either path (a file or folder) or hub (the name of a dataset on the hub)."


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
        say: gets what there is to know about how the files are read.

    Raises:
        InputError: at once for what is not there, and while reading for what cannot be read.
    """
    check_format(format)
    pieces = parse_split(split)
    if path is not None and hub is not None:
        raise InputError(_EITHER)
    bad: list[InputError] = []

    def note(error: InputError) -> None:
        bad.append(error)
        refuse(error, on_bad)

    handler = note if on_bad else None
    if hub is not None:
        found = [hub_rows(hub, subset, piece, revision, handler) for piece in pieces]
        return _some(found, count, hub, split, bad)
    if path is None:
        raise InputError(_EITHER)
    path = Path(path)
    if revision is not None:
        raise InputError(f"{path}: a revision is for data on the hub; give hub instead of path, or drop it.")
    path = _within(path, subset)
    if is_saved_dataset(path):
        found = [disk_rows(path, piece, handler) for piece in pieces]
        return _some(found, count, str(path), split, bad)
    chosen = [_files_of(path, piece.name, names_of(split)) for piece in pieces]
    for remark in dict.fromkeys(remark for _, remarks in chosen for remark in remarks):
        say(remark)
    kinds = {_kind_of(file) for files, _ in chosen for file in files}
    if documents != "file" and ".txt" not in kinds:
        raise InputError(f"{path}: documents={documents} is of .txt files, and every row here is a document; drop it.")
    found = []
    for piece, (files, _) in zip(pieces, chosen, strict=True):
        wanted = known_as(piece.name)
        # Where a file is not named after the split, a list in it may be.
        inside = "train" if path.is_dir() or wanted == split_of(Path(path.name)) else wanted
        found.append(_sliced(partial(_all_rows, files, inside, documents), piece, handler, say))
    return _some(found, count, str(path), split, bad)


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
    more: dict[str, dict[str, str]] = {".json": {"split": inside}, ".txt": {"documents": documents}}
    for file in files:
        kind = _kind_of(file)
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
            raise InputError(f"{name}: holds no row; give a file that has some, e.g. one JSON object on each line.")
        raise InputError(f"{name}: {split} takes none of its rows; choose a slice within what is there.")


def data_files(path: Path, split: str = "train", subset: str | None = None) -> list[Path]:
    """The files that a path stands for, in the order in which they are read, each once.

    Raises InputError when there is none, or the split is none of theirs.
    """
    path = _within(path, subset)
    with reading(path):
        path.stat()
    names = names_of(split)
    if not is_saved_dataset(path):
        return list(dict.fromkeys(chain.from_iterable(_files_of(path, name, names)[0] for name in names)))
    folders = [saved_folder(path, name) for name in names]
    return [file for file in _below(path) if any(map(file.is_relative_to, folders))]


def splits_in(path: Path, subset: str | None = None) -> dict[str, list[Path]]:
    """The data files of a folder by the split that each is named after (``train`` where by none); of what
    ``save_to_disk`` wrote the names of its splits alone. Raises InputError where the folder has no data."""
    path = _within(path, subset)
    if is_saved_dataset(path):
        return {name: [] for name in saved_splits(path)}
    with reading(path):
        found, _ = _data_in(path, _below(path))
    by_split: dict[str, list[Path]] = {}
    for file in found:
        by_split.setdefault(split_of(file.relative_to(path)) or "train", []).append(file)
    return by_split


def refuse_run(path: Path) -> None:
    """Raises InputError for the folder of a run or of one of its stages: its files tell of training, and what was
    measured with its answers lies among them, none of which is to be trained on."""
    if not (path / "config.yaml").is_file():
        return
    stages = sorted(file.parent for file in (*path.glob("stage.json"), *path.glob("[!.]*/stage.json")))
    if stages:
        left = [str(stage / "rows.jsonl") for stage in stages if (stage / "rows.jsonl").is_file()]
        rows = f" Rows that a stage left are in {', '.join(left)}." if left else ""
        raise InputError(
            f"{path} is the folder of a run, and no data; what it is made from is in {path / 'config.yaml'}: "
            f"name that file (strop inspect, strop doctor), or data by their own path.{rows}"
        )


def _data_in(path: Path, below: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The data files among those of a folder, and texts beside them. Raises InputError where there are none."""
    refuse_run(path)
    found = [file for file in below if file.name not in _NOT_DATA and _kind_of(file) in READERS]
    data = [file for file in found if _kind_of(file) != ".txt"]
    texts = [file for file in found if _kind_of(file) == ".txt"] if data else []  # a licence or a word about the data
    if not found:
        raise InputError(f"{path}: no data file in this folder; known are {_KNOWN}.")
    return data or found, texts


def _files_of(path: Path, split: str, named: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The files of one split, and what there is to say about those of none that is ``named``. Raises InputError where
    there is none."""
    with reading(path):
        if not path.is_dir():
            path.stat()
            _check_split_of_file(path, split)
            return [path], []
        below = _below(path)
    found, texts = _data_in(path, below)
    splits = {file: split_of(file.relative_to(path)) for file in found}
    wanted = known_as(split)
    # A file named after no split is training data, as everywhere.
    chosen = [file for file in found if (splits[file] or "train") == wanted]
    if not chosen:
        there = ", ".join(sorted({name for name in splits.values() if name}))
        raise InputError(
            f"{path}: no file is named after the split {split}, but after {there}; choose one."
            if there
            else f"{path}: there is no split {split}: no file is named after one, so all of them are train."
        )
    remarks = []
    read = {None, *map(known_as, named)}
    other = [f"{file.name} ({splits[file]})" for file in found if splits[file] not in read]
    if other and wanted == "train":
        remarks.append(
            f"read {_listed([file.name for file in chosen])}; left out as other splits: {_listed(other)} "
            "(`split` reads those of another, and a path one file whatever its name)"
        )
    if texts:
        remarks.append(f"left out beside data files of other kinds: {_listed([file.name for file in texts])}")
    if unknown := [f.name for f in below if _kind_of(f) not in READERS and f.suffix.lower() not in _ABOUT]:
        remarks.append(f"left out, as there is no reader for them: {_listed(unknown)}")
    return chosen, [f"{path}: {remark}" for remark in remarks]


def _check_split_of_file(path: Path, split: str) -> None:
    """A file by itself is ``train``, and what it is named after. Raises InputError for other splits."""
    if _kind_of(path) not in READERS:
        raise InputError(f"{path}: there is no reader for this kind of file; known are {_KNOWN}.")
    own = split_of(Path(path.name)) or "train"
    if known_as(split) in ("train", own) or _kind_of(path) == ".json":  # which may hold lists of splits
        return
    there = own if own == "train" else f"{own} (or train)"
    raise InputError(
        f"{path}: there is no split {split} in one file, but {there}; write for example {own}[:100] or {own}[90%:] "
        "for a part of it."
    )


def _below(path: Path) -> list[Path]:
    """The files in a folder, hidden ones aside, in the order of their names."""
    files = ((file, file.relative_to(path)) for file in path.rglob("*") if file.is_file())
    return sorted(file for file, inside in files if not any(part.startswith((".", "_")) for part in inside.parts))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _within(path: Path, subset: str | None) -> Path:
    if subset is None:
        return path
    if not (path / subset).is_dir():
        raise InputError(f"{path}: there is no folder {subset} in it, so no such subset; drop subset or correct it.")
    return path / subset


def _kind_of(path: Path) -> str:
    """What a file's name ends with, without what says that it is compressed: ``.jsonl`` of ``d.jsonl.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if len(suffixes) == 2 and suffixes[1] in _COMPRESSED and suffixes[0] in _COMPRESSIBLE:
        return suffixes[0]
    return suffixes[-1] if suffixes else ""
