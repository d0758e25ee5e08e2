"""What an evaluation has done so far, kept line by line, so that one that was cut off goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from strop.common.files import atomic_writer, folder_stamp
from strop.common.stable import stable


class Partial:
    """A file of finished work: the answer, judgement or loss of one item a line, written as soon as it is there.

    ``key`` says what the work was done for (see `key_of`); a file with another key, or none, is begun anew. ``on_item``
    is called after each item.
    """

    def __init__(self, path: Path, key: str, on_item: Callable[[], None] = lambda: None):
        self.path, self._on_item = path, on_item
        self._done: dict[tuple[str, int], Any] = {}
        rows = _whole_rows(path)
        if not rows or rows[0] != {"key": key}:
            rows = [{"key": key}]
        for row in rows[1:]:
            self._done[row["kind"], row["index"]] = row["value"]
        with atomic_writer(path) as file:  # without the line that a kill cut
            file.writelines(json.dumps(row) + "\n" for row in rows)
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def get(self, kind: str, index: int) -> Any:
        """What was done of item ``index``, or None."""
        return self._done.get((kind, index))

    def add(self, kind: str, index: int, value: Any) -> None:
        """Keep ``value`` (as JSON can hold it) on disk before anything else is done."""
        self._done[kind, index] = value
        self._file.write(json.dumps({"kind": kind, "index": index, "value": value}) + "\n")
        self._on_item()

    def count(self, kind: str) -> int:
        """How many items are done."""
        return sum(kind == one for one, _ in self._done)

    def close(self) -> None:
        self._file.close()


def key_of(model: Path, *settings: Any) -> str:
    """A digest of the model's files (`strop.common.files.folder_stamp`) and of what else the results depend on.

    What is in a list of ``settings`` goes into it one by one, so that thousands of prompts are never one string. Raises
    Unstable for what has no text that the next process would find again.
    """
    digest = hashlib.sha256()
    for part in (folder_stamp(model), *settings):
        for one in part if isinstance(part, list) else [part]:
            digest.update(stable(one).encode("utf-8", "surrogatepass") + b"\0")
        digest.update(b"\1")
    return digest.hexdigest()


def _whole_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file up to the first that is not whole; none where there is no file."""
    rows: list[dict[str, Any]] = []
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            return rows
        if not isinstance(row, dict) or not line.endswith(b"\n"):
            return rows
        rows.append(row)
    return rows
