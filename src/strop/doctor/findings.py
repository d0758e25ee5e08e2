"""What the doctor says: findings, each with its level, its count, an example with its place, and the mend."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from strop.common.visible import visible

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
Kinds = Mapping[str, tuple[Level, str, str]]
"""Kind of finding -> its level, message and mend, as `Tally.finding` takes them."""

_NUMBER = re.compile(r"⟨([^|⟩]*)\|([^|⟩]*)⟩")
_SHOWN = 120  # characters of an example
PLACES = 10
"""Places kept of one finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    ``kind`` names it for machines; ``count`` is how many rows, turns or tokens it concerns (``message`` says which);
    ``place`` and ``text`` are the first example; ``places`` are the first ten; ``mend`` says what to do.
    """

    kind: str
    level: Level
    count: int
    message: str
    mend: str
    place: str = ""
    text: str = ""
    places: tuple[str, ...] = ()


class Tally:
    """Counts by kind, with the first example and the first places of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = defaultdict(int)
        self._seen: dict[str, tuple[str, str, list[str]]] = {}

    def add(self, kind: str, place: str, text: str = "") -> None:
        self.counts[kind] += 1
        _, _, places = self._seen.setdefault(kind, (place, shorten(text), []))
        if len(places) < PLACES and place not in places:
            places.append(place)

    def finding(self, kind: str, level: Level, message: str, mend: str, name: str | None = None) -> Finding:
        """``message`` may hold ``{n}``, which becomes the count, and ``⟨one|several⟩``, of which one word stays.

        ``name``: the finding's kind, if it is another than what was counted.
        """
        count = self.counts[kind]
        place, text, places = self._seen.get(kind, ("", "", []))
        message = _NUMBER.sub(r"\1" if count == 1 else r"\2", message).replace("{n}", f"{count:,}", 1)
        return Finding(name or kind, level, count, message, mend, place, text, tuple(places))

    def findings(self, kinds: Kinds) -> list[Finding]:
        """Of those of the ``kinds`` that were counted, in their order."""
        return [self.finding(kind, *words) for kind, words in kinds.items() if self.counts[kind]]


def shorten(text: str) -> str:
    """On one line, cut to what fits there, with nothing in it that would steer a terminal."""
    line = " ".join(visible(text[: 4 * _SHOWN]).split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 2]} …"


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first; within a level as they were found."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
