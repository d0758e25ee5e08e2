"""The first thing that a process does which is started for another: it sees to it that it ends with that one.

torch takes seconds to load, many on a busy machine, and in these too its starter may be killed. So nothing of this
module imports it, and what the process is to do is unpickled after.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from threading import Thread
from typing import Any


class Work:
    """``function(*given)``, read by the process when it is called."""

    def __init__(self, function: Callable[..., Any], *given: Any):
        self._work: Any = (function, *given)

    def __reduce__(self):
        return _packed, (bytes(ForkingPickler.dumps(self._work)),)

    def __call__(self) -> Any:
        function, *given = pickle.loads(self._work)
        return function(*given)


def _packed(work: bytes) -> Work:
    made = Work.__new__(Work)
    made._work = work
    return made


def begin(work: Work) -> None:
    """What the process runs: it leaves when its starter is gone, and what a terminal sends is for that to answer."""
    Thread(target=_leave_with_the_starter, daemon=True).start()
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work()


def _leave_with_the_starter() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
