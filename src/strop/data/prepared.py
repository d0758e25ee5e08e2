"""Examples in a folder: written once, read through memory maps, so that they need not fit in memory.

``tokens.bin`` (int32) and ``weights.bin`` (float32) hold all examples one after another, ``examples.bin`` where each
ends and which row it comes from, ``rows.bin`` and ``places.bin`` where each row was read, ``meta.json`` the rest. A
folder gets its name when it is whole. All of them may be deleted at any time; `sweep` deletes what nobody used lately.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from strop.chat import MaskReport
from strop.common.errors import InputError
from strop.common.files import write_json
from strop.data.encoding import SHOWN, EncodedRows, PromptDraws

LAYOUT = 4
TOKENS, WEIGHTS = np.dtype("<i4"), np.dtype("<f4")
EXAMPLES = np.dtype([("end", "<i8"), ("row", "<i8"), ("prompt", "<i4"), ("value", "<f4")])
ROWS = np.dtype([("place_end", "<i8"), ("own_system", "?")])
_FILES = {"tokens.bin": TOKENS, "weights.bin": WEIGHTS, "examples.bin": EXAMPLES, "rows.bin": ROWS, "places.bin": "u1"}
_KEPT_DAYS = 30
_SHOWN_SKIPPED = 20


@dataclass(frozen=True, slots=True)
class PreparedExample:
    """``tokens [T]`` int32 and ``loss_weights [T]`` float32, both in the file, and where the row was read.

    ``value``: what is said of a judged answer (`strop.chat.answers.Answered`).
    """

    tokens: np.ndarray
    loss_weights: np.ndarray
    place: str
    value: float = 0.0


class Prepared:
    """One part's examples, N of them, in the order of its rows.

    Where system prompts are drawn, a row has an example (or several) for each prompt that it gets in any pass, and
    ``draws`` says which of them belong to a pass.
    """

    def __init__(self, folder: Path, draws: PromptDraws | None = None):
        self.folder, self.draws = folder, draws
        self.meta: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        self._tokens, self._weights, self._examples, self._rows, self._places = (
            _map(folder / name, dtype) for name, dtype in _FILES.items()
        )

    @property
    def report(self) -> MaskReport:
        return MaskReport.from_dict(self.meta["report"])

    @property
    def fingerprint(self) -> str:
        """Of the examples and of how passes are drawn: the same only where training would be."""
        text = json.dumps([self.meta["digest"], self.draws and asdict(self.draws)])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def lengths(self) -> np.ndarray:
        """``[N]`` tokens of each example."""
        return np.diff(self._examples["end"], prepend=0)

    def place(self, index: int) -> str:
        row = int(self._examples["row"][index])
        start = int(self._rows["place_end"][row - 1]) if row else 0
        return bytes(self._places[start : int(self._rows["place_end"][row])]).decode()

    @property
    def passes(self) -> int:
        """How many passes differ in their system prompts; later ones repeat these in turn."""
        return self.draws.passes if self.draws else 1

    def of_pass(self, number: int) -> np.ndarray:
        """Indices of the examples that the ``number``-th pass over the part is made of, ascending."""
        if self.draws is None:
            return np.arange(len(self))
        drawn = self.draws.of_pass(number, 0, len(self._rows))
        drawn[self._rows["own_system"]] = 0
        return np.flatnonzero(self._examples["prompt"] == drawn[self._examples["row"]])

    def prompted(self) -> tuple[int, int]:
        """Rows that are given a system prompt in the first pass, and all that have none of their own."""
        if self.draws is None:
            return 0, 0
        without = ~self._rows["own_system"]
        drawn = self.draws.of_pass(0, 0, len(self._rows))
        return int(np.count_nonzero(drawn[without])), int(np.count_nonzero(without))

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> PreparedExample:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start = int(self._examples["end"][index - 1]) if index else 0
        end, value = int(self._examples["end"][index]), float(self._examples["value"][index])
        return PreparedExample(self._tokens[start:end], self._weights[start:end], self.place(index), value)

    def __iter__(self) -> Iterator[PreparedExample]:
        return map(self.__getitem__, range(len(self)))


def write(
    folder: Path,
    chunks: Iterable[EncodedRows],
    unreadable: list[InputError],
    made_from: dict[str, Any],
    notes: list[str],
) -> None:
    """Fill an empty folder. ``unreadable`` and ``notes`` (of how the rows were read) may still grow while the chunks
    come. Raises what they raise."""
    report, skipped = MaskReport(), 0
    shown: list[dict[str, Any]] = []
    first_skipped: list[str] = []
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in _FILES}
        for chunk in chunks:
            places = [place.encode() for place in chunk.places]
            examples: np.ndarray = np.zeros(len(chunk.lengths), EXAMPLES)
            rows: np.ndarray = np.zeros(len(places), ROWS)
            tokens_before = files["tokens.bin"].tell() // TOKENS.itemsize
            examples["end"] = tokens_before + np.cumsum(chunk.lengths, dtype=np.int64)
            examples["row"], examples["prompt"], examples["value"] = chunk.rows, chunk.prompts, chunk.values
            rows["place_end"] = files["places.bin"].tell() + np.cumsum([*map(len, places)], dtype=np.int64)
            rows["own_system"] = chunk.own_system
            columns: tuple[np.ndarray, ...] = (chunk.tokens.astype(TOKENS), chunk.weights.astype(WEIGHTS), examples)
            trained = [column.tobytes() for column in columns]
            for data in trained:
                digest.update(data)
            for file, data in zip(files.values(), (*trained, rows.tobytes(), b"".join(places)), strict=True):
                file.write(data)
            report.merge(chunk.report)
            skipped += len(chunk.skipped)
            first_skipped += chunk.skipped[: _SHOWN_SKIPPED - len(first_skipped)]
            shown += chunk.shown[: SHOWN - len(shown)]
    meta = {
        "made_from": made_from,
        "digest": digest.hexdigest(),
        "bytes": {name: (folder / name).stat().st_size for name in _FILES},
        "skipped": skipped + len(unreadable),
        "first_skipped": [*map(str, unreadable), *first_skipped][:_SHOWN_SKIPPED],
        "report": report.to_dict(),
        "shown": shown,
        "notes": list(notes),
    }
    write_json(folder / "meta.json", meta)


def is_whole(folder: Path) -> bool:
    """Whether the folder is there with all of its files. One that somebody took files from is as good as none."""
    try:
        sizes = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["bytes"]
        return all((folder / name).stat().st_size == sizes[name] for name in _FILES)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        return False


def mark_used(folder: Path) -> None:
    with contextlib.suppress(OSError):  # a cache that may only be read serves as well
        os.utime(folder / "meta.json")


def sweep(cache: Path) -> None:
    """Delete what was not used for a month, and what preparations that were killed left behind a day ago."""
    now = time.time()
    for folder in cache.iterdir() if cache.is_dir() else ():
        unfinished = folder.name.startswith(".")
        used = (file.stat().st_mtime for file in (folder.iterdir() if unfinished else [folder / "meta.json"]))
        with contextlib.suppress(OSError):  # another process may be at it too
            if now - max(used, default=folder.stat().st_mtime) > 86400 * (1 if unfinished else _KEPT_DAYS):
                shutil.rmtree(folder, ignore_errors=True)


def _map(file: Path, dtype: Any) -> np.ndarray:
    """The file as an array of one dimension; a map of nothing is not allowed, so an empty one is an empty array."""
    return np.memmap(file, dtype, mode="r") if file.stat().st_size else np.empty(0, dtype)
