"""Rows through Hugging Face's ``datasets``: from the hub, or from what ``Dataset.save_to_disk`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from strop.data.rows import Row, reading
from strop.errors import InputError


def hub_rows(name: str, subset: str | None, split: str, revision: str | None) -> Iterator[Row]:
    """The rows of a dataset on the hub, downloaded as they are asked for. Place: ``name[split], row N``."""

    def load() -> Iterable[Any]:
        from datasets import load_dataset

        return load_dataset(name, subset, split=split, revision=revision, streaming=True)

    mend = (
        "where the hub cannot be reached, get the data elsewhere with "
        f"`hf download --repo-type dataset {name} --local-dir FOLDER` and give path: FOLDER"
    )
    yield from _rows(load, name, f"{name}[{split}]", mend)


def is_saved_dataset(path: Path) -> bool:
    """Whether the folder was written by ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``."""
    return (path / "dataset_dict.json").is_file() or ((path / "state.json").is_file() and _has_arrow(path))


def disk_rows(path: Path, split: str) -> Iterator[Row]:
    """The rows of a folder that ``save_to_disk`` wrote; of several splits, those of the one asked for."""
    described = path / "dataset_dict.json"
    if described.is_file():
        with reading(described):
            splits = json.loads(described.read_text(encoding="utf-8"))["splits"]
        if split not in splits:
            raise InputError(f"{path}: there is no split {split}, but {', '.join(splits)}; choose one.")
        path /= split

    def load() -> Iterable[Any]:
        from datasets import load_from_disk

        return load_from_disk(path)

    yield from _rows(load, str(path), str(path), "write it again with save_to_disk")


def _has_arrow(path: Path) -> bool:
    return any(path.glob("*.arrow")) and (path / "dataset_info.json").is_file()


def _rows(load: Callable[[], Iterable[Any]], name: str, shown: str, mend: str) -> Iterator[Row]:
    """Number the rows, and turn what the libraries raise, on opening or on the way, into one sentence."""
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import HTTPError

    try:
        dataset = load()
        features = getattr(dataset, "features", None)
        for number, row in enumerate(dataset, start=1):
            yield f"{shown}, row {number}", _without_nulls(row, features)
    except DatasetNotFoundError as error:
        raise InputError(
            f"{name}: {_first_sentence(error)}; check the name, or `hf auth login` where the data is private or gated."
        ) from error
    except (OSError, HTTPError) as error:
        raise InputError(f"{name}: cannot be read ({_first_sentence(error)}); {mend}.") from error
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
