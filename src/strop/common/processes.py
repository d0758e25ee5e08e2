"""Starting worker processes from anybody's program, and ending them with it."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_swapping = threading.Lock()


class _Nameless(ModuleType):
    """``__main__`` as it is but for where it came from: other threads may look things up in it meanwhile."""

    def __init__(self, main: ModuleType):
        super().__init__("__main__")
        self.__dict__["_main"] = main

    def __getattr__(self, name: str) -> Any:
        if name == "__file__":
            raise AttributeError(name)
        return getattr(self.__dict__["_main"], name)


@contextmanager
def without_main() -> Iterator[None]:
    """Processes that are spawned in the block do not read the program's ``__main__`` again.

    multiprocessing otherwise runs the script once more in each of them, which then trains too where it has no
    ``if __name__ == "__main__"``. strop's workers need nothing of it (see `multiprocessing.spawn.get_preparation_data`,
    which looks ``__main__`` up in ``sys.modules``).
    """
    with _swapping:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = _Nameless(main)
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def end_with_parent(group: bool = False) -> None:
    """This process of multiprocessing's is killed when its parent is gone, whatever it does then; with ``group`` its
    process group is. On Linux; elsewhere a worker of a killed parent stays.

    The kernel sends the signal, as the other end of the pipe by which multiprocessing tells of the parent's end is
    closed: a thread that watches it would wait for as long as another one computes in C, and the signal of a parent's
    death (PR_SET_PDEATHSIG) comes when the thread ends that has started this process.
    """
    parent = multiprocessing.parent_process()
    if parent is None or not sys.platform.startswith("linux"):
        return
    pipe: int = parent.sentinel
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp() if group else os.getpid())
    fcntl.fcntl(pipe, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | fcntl.FASYNC)
    if not parent.is_alive():  # before that
        os.kill(os.getpid(), signal.SIGKILL)


_F_SETSIG = 10
