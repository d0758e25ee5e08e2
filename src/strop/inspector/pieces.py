"""A text cut where something changes: who wrote it, whether it is trained, where stop tokens and tokens lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from strop.chat import Inspection, Segment

FIELDS = {
    "reasoning_content": "reasoning",
    "tool_calls": "tool call",
    "python": "python",
    "python_output": "output",
    "name": "name",
    "tool_call_id": "call id",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one segment. ``stop``: part of a stop token; ``tokens``: how many begin here (0: goes on)."""

    text: str
    segment: Segment
    stop: bool
    tokens: int


def pieces(inspection: Inspection, at_tokens: bool = False) -> Iterator[Piece]:
    """The text in order, without gaps; with ``at_tokens`` also cut at every token's border."""
    starts, ends = inspection.starts, inspection.ends
    stops = sorted((starts[index], ends[index]) for index in inspection.stops)
    begins: dict[int, int] = {}
    for start in starts:
        begins[start] = begins.get(start, 0) + 1
    borders = {0, len(inspection.text)}
    borders.update(border for segment in inspection.segments for border in (segment.start, segment.end))
    borders.update(border for span in stops for border in span)
    if at_tokens:
        borders.update(starts, ends)
    segment, stop = 0, 0
    for start, end in pairwise(sorted(borders)):
        while inspection.segments[segment].end <= start:
            segment += 1
        while stop < len(stops) and stops[stop][1] <= start:
            stop += 1
        inside = stop < len(stops) and stops[stop][0] <= start
        yield Piece(inspection.text[start:end], inspection.segments[segment], inside, begins.get(start, 0))


def label(segment: Segment) -> str:
    """Who wrote a segment, in a word or two."""
    if segment.role is None:
        return "template"
    return FIELDS.get(segment.field, segment.role)
