"""Rows through Hugging Face's ``datasets``: from the hub, or from what ``Dataset.save_to_disk`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from strop.data.rows import Row, reading
from strop.data.slices import Slice
from strop.errors import InputError


def hub_rows(name: str, subset: str | None, piece: Slice, revision: str | None) -> Iterator[Row]:
    """The rows of a slice of a dataset on the hub, downloaded as they are asked for. Place: ``name[split], row N``."""

    def load() -> tuple[Iterable[Any], int]:
        from datasets import load_dataset

        dataset = load_dataset(name, subset, split=piece.name, revision=revision, streaming=True)
        if piece.whole:
            return dataset, 0
        first, end = piece.bounds(_length(dataset, piece) if piece.needs_length else None)
        if end is not None:
            dataset = dataset.take(end)
        return dataset.skip(first), first

    mend = (
        "where the hub cannot be reached, get the data elsewhere with "
        f"`hf download --repo-type dataset {name} --local-dir FOLDER` and give path: FOLDER"
    )
    yield from _rows(load, name, f"{name}[{piece.name}]", mend)


def _length(dataset: Any, piece: Slice) -> int:
    info = (dataset.info.splits or {}).get(piece.name)
    if info is None or not info.num_examples:
        raise InputError(
            f"{piece}: the hub does not say how many rows {piece.name} has, and it is not read whole to count them; "
            f"give rows from its beginning ({piece.name}[1000:2000]), or get the data and give path: FOLDER."
        )
    return info.num_examples


def is_saved_dataset(path: Path) -> bool:
    """Whether the folder was written by ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``."""
    return (path / "dataset_dict.json").is_file() or ((path / "state.json").is_file() and _has_arrow(path))


def saved_splits(path: Path) -> list[str] | None:
    """The splits that a folder which ``save_to_disk`` wrote has; None where it holds one dataset alone."""
    described = path / "dataset_dict.json"
    if not described.is_file():
        return None
    with reading(described):
        return json.loads(described.read_text(encoding="utf-8"))["splits"]


def check_saved_split(path: Path, split: str) -> None:
    """Raises InputError where a folder that ``save_to_disk`` wrote does not have the split."""
    splits = saved_splits(path)
    if split not in (["train"] if splits is None else splits):
        there = ", ".join(splits) if splits else "train alone, for it is one dataset"
        raise InputError(f"{path}: there is no split {split}, but {there}; choose one.")


def disk_rows(path: Path, piece: Slice) -> Iterator[Row]:
    """The rows of a slice of a folder that ``save_to_disk`` wrote; a dataset without splits is ``train``."""
    check_saved_split(path, piece.name)
    if saved_splits(path) is not None:
        path /= piece.name

    def load() -> tuple[Iterable[Any], int]:
        from datasets import load_from_disk

        dataset = load_from_disk(path)
        if piece.whole:
            return dataset, 0
        first, end = piece.bounds(len(dataset))
        return dataset.select(range(first, end)), first

    return _rows(load, str(path), str(path), "write it again with save_to_disk")


def _has_arrow(path: Path) -> bool:
    return any(path.glob("*.arrow")) and (path / "dataset_info.json").is_file()


def _rows(load: Callable[[], tuple[Iterable[Any], int]], name: str, shown: str, mend: str) -> Iterator[Row]:
    """The rows with their places, and what the libraries raise, on opening or on the way, as one sentence.

    ``load`` gives the rows and how many of the split come before them.
    """
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import HTTPError

    try:
        dataset, first = load()
        features = getattr(dataset, "features", None)
        for number, row in enumerate(dataset, start=first + 1):
            yield f"{shown}, row {number}", _without_nulls(row, features)
    except DatasetNotFoundError as error:
        raise InputError(
            f"{name}: {_first_sentence(error)}; check the name, or `hf auth login` where the data is private or gated."
        ) from error
    except (OSError, HTTPError) as error:
        raise InputError(f"{name}: cannot be read ({_first_sentence(error)}); {mend}.") from error
    except InputError:  # which is a ValueError
        raise
    except (DatasetsError, ValueError, RuntimeError) as error:
        # An unknown subset or split, files that do not fit together, a dataset that is a program.
        raise InputError(f"{name}: {_first_sentence(error)}; check subset, split and revision.") from error


def _without_nulls(value: Any, feature: Any) -> Any:
    """The same without the fields that are null, which Arrow adds (see `strop.data.tables`); null in JSON stays.

    ``feature`` says what ``value`` is, as far as the dataset knows.
    """
    if type(feature).__name__ == "Json":
        return value
    if isinstance(value, dict):
        features = feature if isinstance(feature, Mapping) else {}
        return {key: _without_nulls(item, features.get(key)) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
        return [_without_nulls(item, inner) for item in value]
    return value


def _first_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".:")
