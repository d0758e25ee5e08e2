"""The parts of the data, opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from strop.data.files import open_rows
from strop.data.readers import NamedSet, Row
from strop.errors import InputError
from strop.inspector.look import Part

_OPEN = ("path", "hub", "format", "split", "revision", "subset", "count")


def open_part(settings: Mapping[str, Any], named: Mapping[str, NamedSet]) -> Part:
    """Raises InputError when there is no such set, file or data set on the hub."""
    if task := settings.get("task"):
        if task not in named:
            raise InputError(f"there is no data set named {task!r}; known: {', '.join(sorted(named))}.")
        return Part(settings.get("name") or f"task:{task}", named[task](settings.get("count"), settings.get("seed", 0)))
    bad: list[InputError] = []
    rows = open_rows(**{name: settings[name] for name in _OPEN if name in settings}, on_bad=bad.append)
    name = settings.get("name") or str(settings.get("path") or settings["hub"])
    return Part(name, _all(rows, bad), settings.get("format", "auto"))


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
