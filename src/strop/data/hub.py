"""Rows through Hugging Face's ``datasets``: from the hub, or from what ``Dataset.save_to_disk`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from strop.common.errors import InputError, NotReachable
from strop.data.rows import OnBad, Row, reading
from strop.data.slices import Slice
from strop.data.tables import ROWS_AT_ONCE, rows_of_tables

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

_SPLITS = "dataset_dict.json"


def hub_rows(
    name: str, subset: str | None, piece: Slice, revision: str | None, on_bad: OnBad | None = None
) -> Iterator[Row]:
    """The rows of a slice of a dataset on the hub, downloaded as they are asked for. Place: ``name[split], row N``."""
    mend = (
        "where the hub cannot be reached, get the data elsewhere with "
        f"`hf download --repo-type dataset {name} --local-dir FOLDER` and give path: FOLDER"
    )

    def load(datasets: ModuleType) -> IterableDataset:
        return datasets.load_dataset(name, subset, split=piece.name, revision=revision, streaming=True)

    return _rows(load, piece, name, f"{name}[{piece.name}]", mend, on_bad)


def is_saved_dataset(path: Path) -> bool:
    """Whether the folder was written by ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``."""
    one = (path / "state.json").is_file() and (path / "dataset_info.json").is_file() and any(path.glob("*.arrow"))
    return one or (path / _SPLITS).is_file()


def saved_folder(path: Path, split: str) -> Path:
    """Where a folder that ``save_to_disk`` wrote has a split; a dataset without splits is ``train``.

    Raises InputError where it does not have the split.
    """
    splits, several = saved_splits(path), (path / _SPLITS).is_file()
    if split not in splits:
        there = ", ".join(splits) if several else "train alone, for it is one dataset"
        raise InputError(f"{path}: there is no split {split}, but {there}; choose one.")
    return path / split if several else path


def saved_splits(path: Path) -> list[str]:
    """The splits of a folder that ``save_to_disk`` wrote."""
    if not (described := path / _SPLITS).is_file():
        return ["train"]
    with reading(described):
        return list(json.loads(described.read_text(encoding="utf-8"))["splits"])


def disk_rows(path: Path, piece: Slice, on_bad: OnBad | None = None) -> Iterator[Row]:
    """The rows of a slice of a folder that ``save_to_disk`` wrote."""
    path = saved_folder(path, piece.name)
    mend = "write it again with save_to_disk"
    return _rows(lambda datasets: datasets.load_from_disk(path), piece, str(path), str(path), mend, on_bad)


def _rows(
    load: Callable[[ModuleType], Dataset], piece: Slice, name: str, shown: str, mend: str, on_bad: OnBad | None
) -> Iterator[Row]:
    """The rows with their places, and what the libraries raise, on opening or on the way, as one sentence."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import HTTPError

    try:
        dataset, first = load(datasets), 0
        if not piece.whole:
            first, end = piece.bounds(_length(dataset, piece))
            dataset = dataset.skip(first) if end is None else dataset.take(end).skip(first)
        yield from rows_of_tables(dataset.with_format("arrow").iter(ROWS_AT_ONCE), shown, on_bad, first)
    except DatasetNotFoundError as error:
        raise NotReachable(
            f"{name}: {_first_sentence(error)}; check the name, or `hf auth login` where the data is private or gated."
        ) from error
    except (OSError, HTTPError) as error:
        raise NotReachable(f"{name}: cannot be read ({_first_sentence(error)}); {mend}.") from error
    except InputError:  # which is a ValueError
        raise
    except (DatasetsError, ValueError, RuntimeError) as error:
        # An unknown subset or split, files that do not fit together, a dataset that is a program.
        raise InputError(f"{name}: {_first_sentence(error)}; check subset, split and revision.") from error


def _length(dataset: Dataset | IterableDataset, piece: Slice) -> int | None:
    """How many rows there are; None where nobody knows and ``piece`` does not depend on it."""
    if hasattr(dataset, "__len__"):
        return len(dataset)
    if not piece.needs_length:
        return None
    info = (dataset.info.splits or {}).get(piece.name)
    if info is None or not info.num_examples:
        raise InputError(
            f"{piece}: the hub does not say how many rows {piece.name} has, and it is not read whole to count them; "
            f"give rows from its beginning ({piece.name}[1000:2000]), or get the data and give path: FOLDER."
        )
    return info.num_examples


def _first_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".:")
