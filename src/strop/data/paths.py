"""Which files a path stands for: one, or those of a folder that belong to a split."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from strop.common.errors import InputError
from strop.data.hub import check_saved_split, is_saved_dataset, saved_splits
from strop.data.rows import reading
from strop.data.slices import names_of
from strop.data.splits import known_as, split_of

KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".txt")
_COMPRESSIBLE = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")
_COMPRESSED = (".gz", ".zst")
# What `datasets` and the hub write beside the data.
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_ABOUT = {".md", ".rst", ".html", ".pdf", ".py", ".ipynb", ".yaml", ".yml", ".toml", ".png", ".jpg", ".svg", ".bib", ""}
"""Kinds of files that say something about the data."""


def data_files(path: Path, split: str = "train", subset: str | None = None) -> list[Path]:
    """The files that a path stands for, in the order in which they are read, each once.

    Raises InputError when there is none, or the split is none of theirs.
    """
    path = within(path, subset)
    with reading(path):
        path.stat()
    names = names_of(split)
    if not is_saved_dataset(path):
        return list(dict.fromkeys(chain.from_iterable(files_of(path, name)[0] for name in names)))
    for name in names:
        check_saved_split(path, name)
    found, several = _below(path), saved_splits(path) is not None
    return [file for file in found if not several or any(file.is_relative_to(path / name) for name in names)]


def files_of(path: Path, split: str) -> tuple[list[Path], list[str]]:
    """The files of one split, and what there is to say about the others. Raises InputError where there is none."""
    with reading(path):
        if not path.is_dir():
            path.stat()
            _check_split_of_file(path, split)
            return [path], []
        below = _below(path)
    found = [file for file in below if file.name not in _NOT_DATA and kind_of(file) in KINDS]
    data = [file for file in found if kind_of(file) != ".txt"]
    texts = [file for file in found if kind_of(file) == ".txt"] if data else []  # a licence or a word about the data
    found = data or found
    if not found:
        raise InputError(f"{path}: no data file in this folder; known are {_known()}.")
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
    other = [f"{file.name} ({splits[file]})" for file in found if splits[file] not in (None, wanted)]
    if other and wanted == "train":
        remarks.append(
            f"{path}: read {_some_names(chosen)}; left out as other splits: {_listed(other)} "
            "(`split` reads those of another, and a path one file whatever its name)"
        )
    if texts:
        remarks.append(f"{path}: left out beside data files of other kinds: {_some_names(texts)}")
    unknown = [f for f in below if kind_of(f) not in KINDS and f.suffix.lower() not in _ABOUT]
    if unknown:
        remarks.append(f"{path}: left out, as there is no reader for them: {_some_names(unknown)}")
    return chosen, remarks


def _check_split_of_file(path: Path, split: str) -> None:
    """A file by itself is ``train``, and what it is named after. Raises InputError for other splits."""
    if kind_of(path) not in KINDS:
        raise InputError(f"{path}: there is no reader for this kind of file; known are {_known()}.")
    own = split_of(Path(path.name)) or "train"
    if known_as(split) in ("train", own) or kind_of(path) == ".json":  # which may hold lists of splits
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


def _some_names(files: list[Path]) -> str:
    return _listed([file.name for file in files])


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def within(path: Path, subset: str | None) -> Path:
    if subset is None:
        return path
    if not (path / subset).is_dir():
        raise InputError(f"{path}: there is no folder {subset} in it, so no such subset; drop subset or correct it.")
    return path / subset


def kind_of(path: Path) -> str:
    """What a file's name ends with, without what says that it is compressed: ``.jsonl`` of ``d.jsonl.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if len(suffixes) == 2 and suffixes[1] in _COMPRESSED and suffixes[0] in _COMPRESSIBLE:
        return suffixes[0]
    return suffixes[-1] if suffixes else ""


def _known() -> str:
    return f"{', '.join(KINDS)} ({' or '.join(_COMPRESSED)} after those that are text)"
