"""Rows to inspections, one at a time; a row that cannot be used is listed and the next one is read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from strop.chat import ChatEncoder, Inspection, MaskReport, parse_row
from strop.common.console import Steady
from strop.common.errors import InputError
from strop.data.readers import NamedSet, Row, rows_of_part
from strop.data.settings import DataSettings


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that strop cannot use: training would stop at it. ``reason`` names its place."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class OpenedPart:
    """A part of the data: its name, its rows (an error in the place of one that cannot be read), and their format."""

    name: str
    rows: Iterable[Row | InputError]
    format: str = "auto"
    notes: list[str] = field(default_factory=list)
    """Grows while the rows are read: how the files are read, and what is left out."""


def open_part(settings: Mapping[str, Any], named: Mapping[str, NamedSet]) -> OpenedPart:
    """Raises InputError when there is no such set, file or data set on the hub."""
    part = DataSettings(**settings)
    bad: list[InputError] = []
    notes: list[str] = []
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


@dataclass(frozen=True, slots=True)
class Found:
    """One example. ``index``: its row in all of the data, from 0 (several examples share it when split)."""

    index: int
    part: str
    inspection: Inspection


@dataclass
class Look:
    """Goes through the data once; afterwards ``rejected``, ``rows`` and the encoder's report tell what it met.

    ``count``: examples at most; ``index``: of the one row to look at; ``place``: part of the rows' places, as in
    ``:17``.
    """

    encoder: ChatEncoder
    parts: list[OpenedPart]
    count: int | None = None
    index: int | None = None
    place: str | None = None
    only_warnings: bool = False
    work: Steady | None = None
    """Told of every row that was read."""
    rejected: list[RejectedRow] = field(default_factory=list)
    rows: int = 0
    """Rows read, whether chosen or not."""
    shown: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    """Of all examples looked at, by kind."""
    formats: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """What the rows of each part were taken for."""
    ended: bool = False
    """Whether the data was read to its end."""

    @property
    def report(self) -> MaskReport:
        return self.encoder.report

    def __iter__(self) -> Iterator[Found]:
        for part in self.parts:
            for row in self.work.through(part.rows) if self.work else part.rows:
                if self.count is not None and self.shown >= self.count:
                    return
                index, self.rows = self.rows, self.rows + 1
                for inspection in self._inspections(index, row, part):
                    self.warnings.update(warning.kind for warning in inspection.warnings)
                    if inspection.warnings or not self.only_warnings:
                        self.shown += 1
                        yield Found(index, part.name, inspection)
                if index == self.index:
                    return
        self.ended = True

    def _inspections(self, index: int, row: Row | InputError, part: OpenedPart) -> list[Inspection]:
        place = str(row) if isinstance(row, InputError) else row[0]
        if self.index not in (None, index) or not self._takes(place):
            return []
        try:
            if isinstance(row, InputError):
                raise row
            parsed = parse_row(row[1], place, part.format)
            self.formats[part.name][parsed.format] += 1
            return self.encoder.inspect(parsed)
        except InputError as error:
            self.rejected.append(RejectedRow(index, str(error)))
            return []

    def _takes(self, place: str) -> bool:
        """Whether ``place`` holds the wanted one, numbers taken whole: ``:1`` is not part of ``data.jsonl:17``."""
        if self.place is None:
            return True
        before = r"(?<!\d)" if self.place[:1].isdigit() else ""
        after = r"(?!\d)" if self.place[-1:].isdigit() else ""
        return re.search(before + re.escape(self.place) + after, place) is not None
