"""A signal is acknowledged at once and acted on when what is in hand is finished."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def first_signal(words: str) -> Iterator[list[int]]:
    """Gives the list that the first SIGINT or SIGTERM comes into, so that the step in hand can be finished; a second
    one acts at once.

    ``words``, if any, are said on standard error as soon as the first one comes.
    """
    came: list[int] = []
    previous: dict[signal.Signals, Any] = {}

    def remember(signum, frame):
        came.append(signum)
        for each, handler in previous.items():  # the second may be the other one
            signal.signal(each, handler)
        if words:
            os.write(2, f"\n{words}\n".encode())  # print may be in the middle of a line of its own

    with suppress(ValueError):  # not the main thread: signals stay with whoever owns them
        for signum in (signal.SIGINT, signal.SIGTERM):
            previous[signum] = signal.signal(signum, remember)
    try:
        yield came
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


class Requests:
    """Whether a checkpoint was asked for since it was asked last."""

    def __init__(self) -> None:
        self._asked = False

    def ask(self, *_: object) -> None:
        self._asked = True

    def pop(self) -> bool:
        asked, self._asked = self._asked, False
        return asked


@contextmanager
def checkpoint_signal() -> Iterator[Requests]:
    """Inside, SIGUSR1 asks for a checkpoint after the step in hand, and the run goes on."""
    requests, previous = Requests(), None
    with suppress(ValueError):  # not the main thread
        previous = signal.signal(signal.SIGUSR1, requests.ask)
    try:
        yield requests
    finally:
        if previous is not None:
            signal.signal(signal.SIGUSR1, previous)


def number(stopped: list[int]) -> int:
    return stopped[0] if stopped else signal.SIGTERM  # of another rank
