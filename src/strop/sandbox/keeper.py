"""What ends the programs of a judge that was killed: a process beside it, its keeper.

A program that is still there when its judge is gone would run for as long as it likes. The signal of a parent's death
(PR_SET_PDEATHSIG) is not enough: it is lost with a fork, and with an exec where real and effective user differ. So each
program bears a mark that it cannot shed, a limit that the kernel has ceased to heed (RLIMIT_LOCKS) with a number that
is this judge's alone, and the keeper kills what bears it. Each judge's process starts one with its first program, in a
session of its own, which signals to the judge's group miss.

Not covered: programs within `unsafe_local`, whose rights are the user's and may raise limits; a keeper that is killed
too before the judge starts its next program.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import secrets
import subprocess
import threading
import weakref
from importlib import resources

from strop.common.errors import InputError

from .rules import PYTHON

RLIMIT_LOCKS = 10
_LEAST = 1 << 32
"""Below that a limit could be another's too."""


class _Keeper:
    """Raises OSError where it does not start."""

    def __init__(self, mark: int) -> None:
        self.owner, self.mark = os.getpid(), mark
        self._process = subprocess.Popen(
            [PYTHON, "-I", "-S", "-c", _source(), str(self.owner), str(mark)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", env={},
            start_new_session=True,
        )  # fmt: skip
        # At the judge's own end it is waited for: an orphan would stay a zombie where PID 1 does not reap.
        weakref.finalize(self, _end, self._process, self.owner)

    def is_there(self) -> bool:
        return self._process.poll() is None


_keeper: _Keeper | None = None
_starting = threading.Lock()


def mark() -> int:
    """The value of RLIMIT_LOCKS that programs of this process bear; a keeper watches over it from now on.

    Raises OSError where there is none and none can be started, InputError where the limit is set too low.
    """
    global _keeper
    with _starting:
        mine = _keeper if _keeper is not None and _keeper.owner == os.getpid() else None
        if mine is None or not mine.is_there():
            mine = _keeper = _Keeper(_new_mark() if mine is None else mine.mark)
        return mine.mark


def _new_mark() -> int:
    hard = resource.getrlimit(RLIMIT_LOCKS)[1]
    most = 1 << 62 if hard == resource.RLIM_INFINITY else hard
    if most <= 2 * _LEAST:
        raise InputError(
            f"programs are known by a limit on file locks, which is set to {hard} here; take that off (ulimit -x "
            "unlimited, or the line 'locks' in /etc/security/limits.conf)"
        )
    return _LEAST + secrets.randbelow(most - _LEAST)


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner or process.stdin is None:
        process.returncode = 0  # of a fork's parent: nothing to wait for
        return
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b".")
        process.stdin.close()
    process.wait()


def _forget_lock() -> None:
    global _starting
    _starting = threading.Lock()  # another thread may have held it as this process was forked


os.register_at_fork(after_in_child=_forget_lock)


@functools.cache
def _source() -> str:
    return resources.files(__package__).joinpath("_keeper.py").read_text(encoding="utf-8")
