"""Writing files so that they are whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from strop.common.errors import InputError


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name only when the block ends without an error; of a link, what it leads to. A device
    or a pipe is written into. Raises OSError as open() does, and InputError for the name of a folder."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, and a file is to be written; give the name of a file.")
    if _is_device(path):
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    file = partial.open("x", encoding="utf-8")
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _is_device(path: Path) -> bool:
    """Whether something is there that a file cannot take the place of; ``/dev/stdout`` may lead to a file."""
    place = Path(os.path.abspath(path))
    special = any(map(place.is_relative_to, ("/dev", "/proc"))) and not place.is_relative_to("/dev/shm")
    return path.exists() and (special or not path.is_file())


def folder_stamp(folder: Path) -> str:
    """A digest of the names, sizes and times of a folder's files: cheap for any size, another when one is replaced."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(stamps).encode("utf-8", "surrogateescape")).hexdigest()


_HALF = re.compile("[\ud800-\udfff]")


def to_json(value: Any, **options: Any) -> str:
    """JSON as people read it, which UTF-8 can always hold: half a surrogate pair (a text from elsewhere may have one)
    is escaped, as ``\\ud800``, and read back as it was. ``options`` are those of `json.dumps`."""
    text = json.dumps(value, ensure_ascii=False, **options)
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)  # in JSON it can only stand in a string


def write_json(path: Path, value: Any) -> None:
    with atomic_writer(path) as file:
        file.write(to_json(value, indent=2) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    with atomic_writer(path) as file:
        file.writelines(to_json(row) + "\n" for row in rows)
