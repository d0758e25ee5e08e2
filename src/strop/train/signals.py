"""Signals that stop a run without losing it."""

from __future__ import annotations

import signal


class Signals:
    """Remembers the first SIGINT or SIGTERM, so that the step in hand can be finished; a second one acts at once."""

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
        signal.signal(signum, self._previous[signum])

    def __exit__(self, *_):
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
