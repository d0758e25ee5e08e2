"""Rows to inspections, one at a time; a row that cannot be used is listed and the next one is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from strop.chat import ChatEncoder, Inspection, MaskReport, parse_row
from strop.common.errors import InputError
from strop.data.readers import Row


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


@dataclass(frozen=True, slots=True)
class Found:
    """One example. ``index``: its row in all of the data, from 0 (several examples share it when split)."""

    index: int
    part: str
    inspection: Inspection


@dataclass(frozen=True)
class Choice:
    """Which rows to look at. ``count``: examples at most; ``place``: part of the row's place, as in ``:17``."""

    count: int | None = None
    index: int | None = None
    place: str | None = None
    only_warnings: bool = False

    def takes(self, index: int, place: str) -> bool:
        if self.index is not None and index != self.index:
            return False
        return self.place is None or _names(self.place, place)


@dataclass
class Look:
    """Goes through the data once; afterwards ``rejected``, ``rows`` and the encoder's report tell what it met."""

    encoder: ChatEncoder
    parts: list[OpenedPart]
    choice: Choice = field(default_factory=Choice)
    rejected: list[RejectedRow] = field(default_factory=list)
    rows: int = 0
    """Rows read, whether chosen or not."""
    shown: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    """Of all examples looked at, by kind."""
    formats: dict[str, Counter[str]] = field(default_factory=dict)
    """What the rows of each part were taken for."""
    ended: bool = False
    """Whether the data was read to its end."""

    @property
    def report(self) -> MaskReport:
        return self.encoder.report

    def __iter__(self) -> Iterator[Found]:
        choice = self.choice
        for part in self.parts:
            for row in part.rows:
                if choice.count is not None and self.shown >= choice.count:
                    return
                index, self.rows = self.rows, self.rows + 1
                for inspection in self._inspections(index, row, part):
                    self.warnings.update(warning.kind for warning in inspection.warnings)
                    if inspection.warnings or not choice.only_warnings:
                        self.shown += 1
                        yield Found(index, part.name, inspection)
                if index == choice.index:
                    return
        self.ended = True

    def _inspections(self, index: int, row: Row | InputError, part: OpenedPart) -> list[Inspection]:
        try:
            if isinstance(row, InputError):
                if self.choice.takes(index, str(row)):
                    raise row
                return []
            place, raw = row
            if not self.choice.takes(index, place):
                return []
            parsed = parse_row(raw, place, part.format)
            self.formats.setdefault(part.name, Counter())[parsed.format] += 1
            return self.encoder.inspect(parsed)
        except InputError as error:
            self.rejected.append(RejectedRow(index, str(error)))
            return []


def _names(wanted: str, place: str) -> bool:
    """Whether ``wanted`` is part of ``place``, numbers taken whole: ``:1`` is not part of ``data.jsonl:17``."""
    before = r"(?<!\d)" if wanted[:1].isdigit() else ""
    after = r"(?!\d)" if wanted[-1:].isdigit() else ""
    return re.search(before + re.escape(wanted) + after, place) is not None
