"""What confines programs on this machine: sandlock; bubblewrap where the kernel is too old for it; or a refusal."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from strop.common.errors import InputError

from . import by_bubblewrap, by_sandlock
from .forked import ForkedProcess
from .processes import Plain, Process
from .rules import environment

Confinement = Literal["sandlock", "bubblewrap", "none"]
WAYS: dict[Confinement, Callable[[], str | None]] = {
    "sandlock": by_sandlock.why_not,
    "bubblewrap": by_bubblewrap.why_not,
}
"""In order of preference; each says why it does not work here, or None."""

_unsafe = False


@contextmanager
def unsafe_local(allowed: bool = True) -> Iterator[None]:
    """Within it programs of this process, and of worker processes that are started for it, are not confined at all.

    They have limits and an empty environment, but may do whatever the user may: for machines that cannot confine
    programs, whose user knows what the programs are. With False nothing changes.
    """
    before = is_unsafe()
    set_unsafe(before or allowed)
    try:
        yield
    finally:
        set_unsafe(before)


def is_unsafe() -> bool:
    return _unsafe


def set_unsafe(allowed: bool) -> None:
    """For worker processes, which are told what their parent was."""
    global _unsafe
    _unsafe = allowed


def confinement() -> Confinement:
    """What confines programs now. Raises InputError where nothing does and that has not been allowed."""
    if _unsafe:
        if not sys.platform.startswith("linux"):
            raise InputError(_elsewhere())
        return "none"
    return _best()


@functools.cache
def _best() -> Confinement:
    if not sys.platform.startswith("linux"):
        raise InputError(_elsewhere())
    reasons = []
    for name, why_not in WAYS.items():
        reason = why_not()
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    raise InputError(
        f"programs are only run inside a sandbox, and none works here. {'. '.join(reasons)}. Mend one of them, or, if "
        "you trust the programs, run them without a sandbox: --unsafe-local (in a recipe, unsafe_local: true)"
    )


def _elsewhere() -> str:
    return (
        f"programs are only run inside a sandbox, which needs Linux; on this system ({sys.platform}) run strop in a "
        "Linux container or machine"
    )


def is_forked(processes: int) -> bool:
    """Whether programs that may have so many processes are forked by a server, which runs the launcher by itself and
    makes their folders. Those with children need a sandbox of their own: it kills what they leave behind."""
    return processes == 1 and confinement() == "sandlock"


def start(command: list[str], folder: str, processes: int) -> Process:
    """Start a command in the empty ``folder``; neither counts where `is_forked` holds.

    Raises RuntimeError where that fails (no process or descriptor is left, or the system calls of the sandbox are
    forbidden), InputError as `confinement`."""
    match confinement():
        case "sandlock" if is_forked(processes):
            return ForkedProcess()
        case "sandlock":
            return by_sandlock.SandlockProcess(command, folder, processes)
        case "bubblewrap":
            return by_bubblewrap.BubblewrapProcess(command)
        case "none":
            return Plain(command, folder, environment())
