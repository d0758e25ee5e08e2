"""Writing files so that they are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from strop.common.errors import InputError

# No file can have such a name here, whatever is freed or permitted.
_NO_PLACE = (errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG)


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name only when the block ends without an error; of a link, what it leads to. A device
    or a pipe is written into. Raises OSError as open() does, with ``path`` for its name, and InputError for the name of
    a folder and where no file can have that name."""
    _check_place(path)
    if _is_device(path):
        with path.open("w", encoding="utf-8") as device:
            yield device
        return
    partial, file = _opened_beside(path := Path(os.path.realpath(path)), path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(partial)):
            error.filename = str(path)
        raise


def _check_place(path: Path) -> None:
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder, and a file is to be written; give the name of a file.")


def _is_device(path: Path) -> bool:
    """Whether something is there that a file cannot take the place of; ``/dev/stdout`` may lead to a file."""
    place = Path(os.path.abspath(path))
    special = any(map(place.is_relative_to, ("/dev", "/proc"))) and not place.is_relative_to("/dev/shm")
    return os.path.exists(path) and (special or not path.is_file())


def _opened_beside(path: Path, named: Path) -> tuple[Path, TextIO]:
    """A new file beside ``path``; what is wrong with the place is said of ``named``."""
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return partial, partial.open("x", encoding="utf-8")
    except OSError as error:
        if error.errno in _NO_PLACE:
            raise InputError(f"{named}: cannot be written ({error.strerror}); give another name.") from error
        error.filename = str(named)
        raise


def check_output(path: Path, ours: re.Pattern[str]) -> None:
    """Look at a place that a user named for a page or the like, before there is anything to write.

    Raises InputError for a folder, and for a file that does not begin as ``ours`` says: it is something else, which a
    slip in a command must not cost.
    """
    _check_place(path)
    if not os.path.isfile(path) or _is_device(path):
        return
    with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:  # writing says why not
        begins = file.read(4096)
        if begins and not ours.match(begins):
            raise InputError(
                f"{path}: is there already and holds something else; give another name, or move that file away."
            )


PAGE = re.compile(r"\s*<!doctype html", re.IGNORECASE)
"""How pages begin."""


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
