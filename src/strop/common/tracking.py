"""The one door through which metrics leave for trackers: who logs calls `track`, who tracks stands in `RECEIVERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Receiver = Callable[[str, Mapping[str, Any]], None]
RECEIVERS: list[Receiver] = []


def track(stage: str, row: Mapping[str, Any]) -> None:
    """A row of a stage's metrics, with its ``step`` where it has one, for every tracker of the run."""
    for receive in [*RECEIVERS]:
        receive(stage, row)
