"""The parts of the data, opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from strop.common.errors import InputError
from strop.data.readers import NamedSet, Row, rows_of_part
from strop.data.settings import DataSettings
from strop.inspector.look import OpenedPart


def open_part(settings: Mapping[str, Any], named: Mapping[str, NamedSet]) -> OpenedPart:
    """Raises InputError when there is no such set, file or data set on the hub."""
    part, bad, notes = DataSettings(**settings), [], []
    rows = rows_of_part(part, named, bad.append, notes.append)
    if part.task is not None:
        return OpenedPart(part.name or f"task:{part.task}", rows)
    return OpenedPart(part.title, _all(iter(rows), bad), part.format, notes)


def _all(rows: Iterator[Row], bad: list[InputError]) -> Iterator[Row | InputError]:
    """The rows, and in their places the errors of those that cannot be read; one that ends the reading comes last."""
    while True:
        try:
            row = next(rows, None)
        except InputError as error:
            bad.append(error)
            row = None
        yield from bad
        bad.clear()
        if row is None:
            return
        yield row
