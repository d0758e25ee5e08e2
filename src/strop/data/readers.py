"""Whole sets of rows: files, and the sets that come with strop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from strop.data.files import Row, open_rows
from strop.errors import InputError

# A named set: (count or None for all, seed) -> rows.
NamedSet = Callable[[int | None, int], Sequence[Row]]

BUILT_IN = Path(__file__).parent


def read_bytes(path: Path) -> bytes:
    """What is in a data file. Raises InputError when it is not there or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path (it is relative to where you are).") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a readable .jsonl file.") from error


def read_jsonl(path: Path, count: int | None = None) -> list[Row]:
    """All rows of a data file (JSON lines or another kind, see `open_rows`), or the first ``count``, at once."""
    return list(open_rows(path, count=count))


def built_in(name: str, part: str) -> NamedSet:
    """A set that comes with strop: ``general_chat`` (``train``, ``heldout``) or ``functions`` (``train``)."""

    def rows(count: int | None, seed: int) -> list[Row]:
        path = BUILT_IN / name / f"{part}.jsonl"
        return [(f"{name}/{path.name}:{place.rpartition(':')[2]}", row) for place, row in read_jsonl(path, count)]

    return rows
