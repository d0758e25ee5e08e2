"""Folders that are either whole or not there: written beside their place, flushed to disk, then renamed into it."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from strop.common.errors import InputError
from strop.common.scratch import lock_folder


def cache_folder() -> Path:
    """Where strop keeps what it can make again: `$STROP_CACHE`, `$XDG_CACHE_HOME/strop` or `~/.cache/strop`."""
    if chosen := os.environ.get("STROP_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "strop"


@contextmanager
def whole_folder(target: Path, n_bytes: int, *, replace: bool) -> Iterator[Path]:
    """Gives an empty folder to fill; on a clean exit it becomes `target`, otherwise nothing of it stays.

    `n_bytes` is the room that the caller expects to need; too little of it is refused before anything is written.
    With `replace` an existing `target` gives way; without it one that appeared meanwhile (another process doing the
    same work) is kept and ours is thrown away. What a killed process left is removed first.

    Raises:
        InputError: the place cannot be written to, or is no folder, or the disk is full.
    """
    if os.path.exists(target) and not target.is_dir():  # a device, too: root may replace those
        raise InputError(f"{target}: is no folder, and one is to be written; give another place.")
    if os.path.islink(target):
        target = Path(os.path.realpath(target))
    scratch = target.parent / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}"
    lock = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_what_was_left(target)
        free = shutil.disk_usage(target.parent).free
        if free < n_bytes:
            needed, there = _size(n_bytes), _size(free)
            if needed == there:
                needed, there = f"{n_bytes:,} bytes", f"{free:,}"
            raise InputError(
                f"{target}: {needed} are needed and {there} are free; free some space or choose another folder."
            )
        lock = _make_locked(scratch)
        yield scratch
        for path in [*scratch.rglob("*"), scratch]:
            flush(path)
        _move_into_place(scratch, target, replace=replace)
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk with an exception of its own
        raise InputError(f"{target}: cannot be written ({error}); choose another folder or free some space.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"


def _make_locked(folder: Path) -> int | None:
    """It has its name only when it has its lock, so nobody takes it for one that was left."""
    new = folder.with_name(folder.name + ".new")
    new.mkdir()
    lock = lock_folder(new)
    new.rename(folder)
    return lock


def _clear_what_was_left(target: Path) -> None:
    """Remove what a killed process wrote for ``target``; put back what it had set aside and not replaced."""
    ours = re.compile(rf"(\.{re.escape(target.name)}\.\d+-[0-9a-f]{{8}})(\.old)?")
    for path in sorted(target.parent.iterdir(), reverse=True):  # one that stepped aside before what it made room for
        if not (found := ours.fullmatch(path.name)):
            continue
        scratch = path.with_name(found[1])
        try:
            lock = lock_folder(scratch if scratch.exists() else path)
        except FileNotFoundError:  # its owner has just finished
            continue
        if lock is None:
            continue
        if found[2] and not target.exists():
            path.rename(target)
        else:
            shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def flush(path: Path) -> None:
    """A file or a folder to the disk; without this a power cut after a rename can leave files that have a name and a
    size but no content. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_into_place(scratch: Path, target: Path, *, replace: bool) -> None:
    if not target.exists():
        try:
            scratch.rename(target)
            return
        except OSError:
            if not target.exists():  # otherwise another process was quicker between the two lines above
                raise
    if not replace:
        return
    # A folder cannot be renamed over one that is not empty: step aside, move in, and step back if that fails.
    aside = scratch.with_name(scratch.name + ".old")
    target.rename(aside)
    try:
        scratch.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
