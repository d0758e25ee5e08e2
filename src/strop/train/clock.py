"""How long a stage may run, and what it will take to finish."""

from __future__ import annotations

import time

from strop.common.console import duration


class Clock:
    """Counts from its making; ``hours``: the time that there is, None for no limit."""

    def __init__(self, hours: float | None):
        self._started, self._end = time.monotonic(), None if hours is None else 3600 * hours
        self._longest, self._sum, self._steps = 0.0, 0.0, 0

    def took(self, seconds: float) -> None:
        """A step did."""
        self._longest, self._sum, self._steps = max(self._longest, seconds), self._sum + seconds, self._steps + 1

    def is_late(self) -> bool:
        """Whether another step, as long as the longest so far, might not end in time."""
        return self._end is not None and time.monotonic() - self._started + self._longest >= self._end

    def left(self, steps: int) -> str:
        """What ``steps`` more will take, in words."""
        return f"{steps} steps, about {duration(self._sum / max(1, self._steps) * steps)},"
