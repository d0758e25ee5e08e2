"""A share of the training rows that is held out to be measured on: chosen by content, before anything is mixed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from strop.chat import LeftOut, parse_row
from strop.chat.answers import Content, parse_answers, prompt_of
from strop.common.errors import InputError
from strop.data.readers import NamedSet, rows_of_part
from strop.data.rows import Row
from strop.data.settings import DataSettings, HeldOutSettings, MixtureSettings


@dataclass(frozen=True)
class Portion:
    """The rows of one part that one side has, ascending, counted from 0 over those that can be read."""

    side: str
    rows: np.ndarray

    def of(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Those of all rows of the part, which is read to its end, so that what is wrong there is found."""
        wanted = set(self.rows.tolist())
        return (row for at, row in enumerate(rows) if at in wanted)

    def to_dict(self) -> dict[str, Any]:
        """For keys: which side of which rows."""
        return {"side": self.side, "rows": hashlib.sha256(self.rows.astype("<i8").tobytes()).hexdigest()}


@dataclass(frozen=True)
class Division:
    """The parts' rows on both sides, in the order of the parts; ``equal`` rows are on neither."""

    settings: HeldOutSettings
    training: tuple[Portion, ...]
    measured: tuple[Portion, ...]
    equal: int
    """Rows that say what a held-out row says, so that training on them would spoil the measurement."""

    def note(self) -> str:
        """What was done, in one sentence."""
        held = sum(len(portion.rows) for portion in self.measured)
        left = sum(len(portion.rows) for portion in self.training)
        were = "is equal to one of them and" if self.equal == 1 else "are equal to one of them and"
        equal = f"; {self.equal:,} more {were} left out of training" if self.equal else ""
        return (
            f"eval_data: {held:,} rows held out (fraction {self.settings.fraction:g}, seed {self.settings.seed}), "
            f"{left:,} to train on{equal}"
        )


def divide(
    mixture: MixtureSettings,
    settings: HeldOutSettings,
    named: Mapping[str, NamedSet],
    content: Content = "conversations",
) -> Division:
    """Hold out ``fraction`` of the different rows of every part, at least one.

    Which ones depends on their content and the seed alone: not on their order, on epochs or weights, nor on the seed of
    training. What is said twice is held out once, and its other copies, in any part, are not trained on. Equal are rows
    that read as the same conversation; columns that are no part of it do not count. Of judged answers all rows of a
    prompt are on one side, so ``fraction`` is of different prompts.

    Raises InputError where a part has fewer than two different rows, and what reading raises.
    """
    digests = [
        [_digest(place, row, part.format, content) for place, row in rows_of_part(part, named, lambda error: None)]
        for part in mixture.parts
    ]
    picked: set[bytes] = set()
    for part, found in zip(mixture.parts, digests, strict=True):
        picked |= _pick({digest for digest in found if digest is not None}, settings, part)
    seen: set[bytes] = set()
    training, measured, equal = [], [], 0
    for found in digests:
        kept, held = [], []
        for number, digest in enumerate(found):
            if digest not in picked:
                kept.append(number)
            elif digest not in seen or content != "conversations":
                seen.add(digest)
                held.append(number)
        equal += len(found) - len(kept) - len(held)
        training.append(Portion("training", np.array(kept, np.int64)))
        measured.append(Portion("measured", np.array(held, np.int64)))
    if not any(len(portion.rows) for portion in training):
        raise InputError("eval_data.fraction: nothing is left to train on; lower it.")
    return Division(settings, tuple(training), tuple(measured), equal)


def _pick(different: set[bytes], settings: HeldOutSettings, part: DataSettings) -> set[bytes]:
    if (most := len(different) - 1) < 1:
        few = f"has {len(different)} different rows, so no share of it can be held out"
        raise InputError(f"{part.title}: {few}; give eval_data data of its own.")
    count = min(max(1, round(settings.fraction * len(different))), most)
    drawn_by = f"strop held out, seed {settings.seed}: ".encode()
    return set(sorted(different, key=lambda digest: hashlib.sha256(drawn_by + digest).digest())[:count])


def _digest(place: str, row: Mapping[str, Any], format: str, content: Content) -> bytes | None:
    """Of what a row says (its prompt, where answers are judged), its place and columns that are not read aside; None of
    a row that gives no example."""
    try:
        if content != "conversations":
            answers = parse_answers(row, place, format, content)
            return None if isinstance(answers, LeftOut) else _hash(prompt_of(answers[0].conversation))
        parsed = parse_row(row, place, format)
    except InputError:
        return None
    if isinstance(parsed, LeftOut):
        return None
    return _hash({name: value for name, value in asdict(parsed).items() if name not in ("place", "notes", "format")})


def _hash(said: Any) -> bytes:
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).digest()[:16]
