"""Signs of life: whatever may take long calls `beat` as it gets on, and a watchdog asks how long ago that was."""

from __future__ import annotations

import time

_last: tuple[float, str] = time.monotonic(), "the start"


def beat(what: str) -> None:
    """Something got on: ``what``, in a few words. Costs nothing to speak of; from any thread."""
    global _last
    _last = time.monotonic(), what


def silence() -> tuple[float, str]:
    """Seconds since the last sign of life, and which it was."""
    at, what = _last
    return time.monotonic() - at, what
