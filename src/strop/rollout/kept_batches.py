"""What a sampling has done so far, batch by batch, so that one that was cut off goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from strop.common.files import write_json
from strop.rollout.selection import Tally


class KeptBatches:
    """``folder/NNNNNN.json`` has the rows of a finished batch and what was counted until then; beside it lie the
    answers of the batch in hand.

    ``key`` says what the work is done for; a folder with another key is begun anew.
    """

    def __init__(self, folder: Path, key: str):
        self._folder = folder
        mark = folder / "key.json"
        if not mark.is_file() or json.loads(mark.read_text(encoding="utf-8")) != key:
            shutil.rmtree(folder, ignore_errors=True)
            write_json(mark, key)

    def done(self) -> int:
        """How many batches are finished: the first ones."""
        count = 0
        while self._file(count).is_file():
            count += 1
        return count

    def tally(self) -> Tally:
        """What was counted until the last finished batch."""
        count = self.done()
        return Tally.from_dict(self._read(count - 1)["tally"]) if count else Tally()

    def add(self, number: int, rows: list[dict[str, Any]], told: Tally) -> None:
        """A batch is finished."""
        write_json(self._file(number), {"rows": rows, "tally": told.to_dict()})
        self.answers(number).unlink(missing_ok=True)

    def answers(self, number: int) -> Path:
        """Where the answers of a batch are kept as long as it is in hand."""
        return self._folder / f"{number:06d}.partial.jsonl"

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of all finished batches, in order."""
        for number in range(self.done()):
            yield from self._read(number)["rows"]

    def drop(self) -> None:
        """All is where it belongs."""
        shutil.rmtree(self._folder)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"

    def _read(self, number: int) -> dict[str, Any]:
        return json.loads(self._file(number).read_text(encoding="utf-8"))
