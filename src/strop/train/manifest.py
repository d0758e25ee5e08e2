"""What a checkpoint's folder holds, file by file, so that a damaged one is told from a whole one before it is loaded.

``manifest.json``: ``format``; ``files``, name -> ``bytes`` and ``sha256``; ``versions`` of what wrote it. It is written
last.
"""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from strop import __version__
from strop.common.errors import InputError
from strop.common.files import write_json

MANIFEST, RECORD = "manifest.json", "checkpoint.json"
FORMAT = 2
"""Of the folder and its files. 1 had no manifest."""
_FOREIGN = {
    "trainer_state.json": "transformers' Trainer",
    "zero_to_fp32.py": "DeepSpeed",
    ".metadata": "torch.distributed.checkpoint",
    "config.json": "a whole model, which `model=PATH` begins with",
}


class Damaged(InputError):
    """A checkpoint that is not as it was written; the message names it and says what is wrong."""


def write_manifest(folder: Path) -> None:
    """Of all files that are below ``folder`` now, shards among them."""
    known = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): _entry(path) for path in known}
    write_json(folder / MANIFEST, {"format": FORMAT, "files": files, "versions": versions()})


def versions() -> dict[str, str]:
    """Of strop and of what it computes with."""
    named = {name: version(name) for name in ("torch", "transformers")}
    return {"strop": __version__, **named, "python": platform.python_version()}


def check_format(folder: Path) -> None:
    """Raises InputError for a folder that this version of strop did not write, Damaged for one that lacks what says so.
    Reads no weights."""
    manifest, record = folder / MANIFEST, folder / RECORD
    if manifest.exists():
        known = _read(manifest).get("format")
        if known != FORMAT:
            raise InputError(
                f"{folder}: is a checkpoint of format {known!r}, and this strop reads {FORMAT}; go on with the version "
                "that wrote it, or do the stage again with --fresh."
            )
    elif record.is_file() and _read(record).get("format") == FORMAT:
        raise Damaged(f"{folder}: {MANIFEST} is missing")
    elif record.is_file() or (folder / "state.pt").is_file():
        raise InputError(
            f"{folder}: is a checkpoint of an earlier strop, without {MANIFEST}, so it cannot be told whether it is "
            "whole; go on with that version, or do the stage again with --fresh."
        )
    elif not any(folder.iterdir()):
        raise Damaged(f"{folder}: is empty")
    else:
        maker = next((f": it looks like {maker}" for name, maker in _FOREIGN.items() if (folder / name).exists()), "")
        raise InputError(f"{folder}: is no checkpoint of strop{maker}. Name one that strop wrote, or move it away.")


def check_whole(folder: Path) -> None:
    """Raises Damaged where a file is not as it was written, and as `check_format`. Reads everything once."""
    check_format(folder)
    files = _read(folder / MANIFEST).get("files")
    if not isinstance(files, dict) or RECORD not in files:
        raise Damaged(f"{folder}: {MANIFEST} names no files")
    for name, written in sorted(files.items(), key=lambda one: one[1].get("bytes", 0)):  # what is quick first
        if ".." in (parts := PurePosixPath(name.lstrip("/")).parts):
            raise Damaged(f"{folder}: {MANIFEST} names {name}, which is not in the checkpoint")
        path = folder.joinpath(*parts)
        try:
            size = path.stat().st_size
            if size != written.get("bytes"):
                raise Damaged(f"{path}: has {size:,} bytes instead of {written.get('bytes'):,}")
            if _sha256(path) != written.get("sha256"):
                raise Damaged(f"{path}: its content is not what was written (sha256)")
        except FileNotFoundError:
            raise Damaged(f"{path}: is missing") from None
        except OSError as error:
            raise Damaged(f"{path}: cannot be read ({error.strerror})") from error


def _entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Damaged(f"{path}: cannot be read ({error})") from None
    if not isinstance(found, dict):
        raise Damaged(f"{path}: holds no JSON object")
    return found
