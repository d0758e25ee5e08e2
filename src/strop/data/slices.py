"""What ``split`` may say: a split, a slice of it as Hugging Face's ``datasets`` writes them, or several, joined."""

from __future__ import annotations

import re
from dataclasses import dataclass

from strop.errors import InputError

EXAMPLES = "train, train[:100], train[10%:], train[:10%]+train[90%:]"
_SLICE = re.compile(
    r"(?P<name>\w[\w.-]*?)\s*"
    r"(?:\[\s*(?:(?P<start>-?\d[\d_]*)\s*(?P<start_pct>%)?)?\s*:"
    r"\s*(?:(?P<stop>-?\d[\d_]*)\s*(?P<stop_pct>%)?)?\s*\])?"
    r"\s*(?:\((?P<rounding>[^)]*)\))?"
)
_ROUNDINGS = (None, "closest", "pct1_dropremainder")


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows ``start`` to ``stop`` of the split ``name``, in rows or per cent; counted from its end where negative."""

    name: str
    start: int | None = None
    stop: int | None = None
    percent: bool = False
    drop_remainder: bool = False

    @property
    def whole(self) -> bool:
        return self.start is None and self.stop is None

    @property
    def needs_length(self) -> bool:
        """Whether the rows it takes depend on how many there are."""
        return self.percent or (self.start or 0) < 0 or (self.stop or 0) < 0

    def bounds(self, length: int | None) -> tuple[int, int | None]:
        """``(first, end)`` in rows, from 0, the end excluded; None: all that are left.

        ``length``: rows of the split; may be None where `needs_length` is false. Per cent are rounded to the closest
        row, as ``datasets`` does it, so that ``[:10%]`` and ``[10%:]`` have no row in common and leave none out.

        Raises InputError for ``pct1_dropremainder`` of fewer than 100 rows, which would take none.
        """
        if length is None:
            return self.start or 0, self.stop
        start = 0 if self.start is None else self._rows(self.start, length)
        stop = length if self.stop is None else self._rows(self.stop, length)
        start, stop = (min(max(length + at if at < 0 else at, 0), length) for at in (start, stop))
        return start, max(start, stop)

    def _rows(self, at: int, length: int) -> int:
        if not self.percent:
            return at
        if self.drop_remainder:
            if length < 100:
                raise InputError(f"{self}: pct1_dropremainder of fewer than 100 rows takes none; drop it.")
            return at * (length // 100)
        return round(at * length / 100)

    def __str__(self) -> str:
        if self.whole:
            return self.name
        unit = "%" if self.percent else ""
        ends = ["" if at is None else f"{at}{unit if at else ''}" for at in (self.start, self.stop)]
        return f"{self.name}[{ends[0]}:{ends[1]}]"


def parse_split(text: str) -> tuple[Slice, ...]:
    """The slices that a split's text names, in its order. Raises InputError where it names none."""
    return tuple(_slice(part.strip(), text) for part in text.split("+"))


def _slice(part: str, text: str) -> Slice:
    match = _SLICE.fullmatch(part)
    if match is None:
        raise InputError(f"split {text!r}: {part!r} is no split and no slice of one; write for example {EXAMPLES}.")
    start, stop = (None if match[name] is None else int(match[name].replace("_", "")) for name in ("start", "stop"))
    percents = [match[f"{name}_pct"] is not None for name in ("start", "stop") if match[name] is not None]
    if any(percents) and not all(percents) and 0 not in (start, stop):
        raise InputError(f"split {text!r}: one end of {part!r} is in rows and the other in per cent; use one of them.")
    percent = any(percents)
    for at in (start, stop):
        if percent and at is not None and abs(at) > 100:
            raise InputError(f"split {text!r}: {at}% is more than all of it; per cent go from -100 to 100.")
    if match["rounding"] not in _ROUNDINGS:
        raise InputError(
            f"split {text!r}: there is no rounding {match['rounding']!r}; known: closest, pct1_dropremainder."
        )
    return Slice(match["name"], start, stop, percent, match["rounding"] == "pct1_dropremainder")


def names_of(text: str) -> tuple[str, ...]:
    """The splits that it names, each once. Raises InputError as `parse_split` does."""
    return tuple(dict.fromkeys(part.name for part in parse_split(text)))
