"""Folders for as long as a process needs them. What a killed process left is removed by the next that makes one alike.

A folder's owner holds its lock, which ends with the owner, however it ends.
"""

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ScratchFolder:
    """``path``, an empty folder of mode 0700, until `close` or the end of the process, in ``parent`` or where temporary
    files are. A fork of the process that made it closes its copy of the lock alone.

    ``prefix``: how its name begins; it says whose it is, and what may be removed when its owner is gone. Raises OSError
    where it cannot be made.
    """

    def __init__(self, prefix: str, parent: Path | None = None):
        within = parent or Path(tempfile.gettempdir())
        _remove_what_was_left(within, prefix)
        new = Path(tempfile.mkdtemp(prefix=prefix, dir=within))
        lock = lock_folder(new)
        self.path = new.rename(new.with_name(new.name + _LOCKED))
        self.close = weakref.finalize(self, _close, self.path, lock, os.getpid())


@contextmanager
def scratch_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """The path of a `ScratchFolder`, within the block."""
    folder = ScratchFolder(prefix, parent)
    try:
        yield folder.path
    finally:
        folder.close()


def lock_folder(folder: Path) -> int | None:
    """A descriptor that holds a folder's lock, which ends with the process; None where another one has it, or the file
    system knows none."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


_LOCKED = ".locked"
"""How a folder's name ends once its lock is held: others are nobody's to remove."""


def _close(path: Path, lock: int | None, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path)
    if lock is not None:
        os.close(lock)


@functools.cache
def _remove_what_was_left(within: Path, prefix: str) -> None:
    """Once in a process: of this user, with nobody who holds its lock."""
    for entry in os.scandir(within):
        if not (entry.name.startswith(prefix) and entry.name.endswith(_LOCKED)):
            continue
        with contextlib.suppress(FileNotFoundError):  # its owner has just finished, or another process removes it
            theirs = entry.stat(follow_symlinks=False).st_uid != os.getuid()
            if theirs or not entry.is_dir(follow_symlinks=False):
                continue
            if (lock := lock_folder(Path(entry.path))) is not None:
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(lock)
