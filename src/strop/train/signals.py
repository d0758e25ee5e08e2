"""Signals that stop a run without losing it."""

from __future__ import annotations

import os
import signal


class Signals:
    """Remembers the first SIGINT or SIGTERM, so that the step in hand can be finished; a second one acts at once.

    ``words`` are said on standard error as soon as the first one comes.
    """

    def __init__(self, words: str):
        self._words = words

    def __enter__(self):
        self.signum = 0
        self._previous = {}
        try:
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._remember)
        except ValueError:  # not the main thread: signals stay with whoever owns them
            self._previous = {}
        return self

    def _remember(self, signum, frame):
        self.signum = signum
        for each, handler in self._previous.items():  # the second may be the other one
            signal.signal(each, handler)
        os.write(2, f"\n{self._words}\n".encode())  # print may be in the middle of a line of its own

    def __exit__(self, *_):
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
