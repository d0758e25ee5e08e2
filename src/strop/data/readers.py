"""Whole sets of rows: files, and the sets that come with strop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from strop.chat import ChatEncoder, Example, parse_conversation
from strop.data.files import Row, open_rows
from strop.data.settings import DataSettings
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


def read_mixture(parts: Sequence[DataSettings], named: Mapping[str, NamedSet], encoder: ChatEncoder) -> list[Example]:
    """Every part in turn, proven and encoded. ``named`` says what ``task`` may be.

    Raises InputError for an unknown name, and what reading, parsing and the mask proof raise.
    """
    examples = []
    for part in parts:
        if part.path is not None:
            rows = read_jsonl(part.path, part.count)
        elif part.task in named:
            rows = named[part.task](part.count, part.seed)
        else:
            raise InputError(f"there is no data set named {part.task!r}; known: {', '.join(sorted(named))}.")
        for place, row in rows:
            examples += encoder.encode(parse_conversation(row, place))
    return examples
