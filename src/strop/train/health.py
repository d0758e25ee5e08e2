"""Whether the steps of a run are well: what is skipped, how long that may go on, and losses that jump."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, pstdev
from typing import Any

from strop.common.alarms import answer
from strop.common.errors import RollBack
from strop.train.settings import LoopSettings, StepSettings

WINDOW, SEEN = 50, 20
"""Losses that a new one is compared with, and how many there have to be."""
RISE = 0.2
"""Share of their mean that a spike is above it at least: losses that hardly vary have none."""
Totals = dict[str, Any]


class Health:
    """Kept in the run's totals, and so in its checkpoints: ``bad_steps`` (skipped so far), ``bad_in_row`` (up to now),
    ``losses`` (the newest) and ``spiking``."""

    def __init__(self, settings: StepSettings, say: Callable[[str], None]):
        self._settings, self._say = settings, say

    def skipped(self, totals: Totals, what: str) -> None:
        """A step was skipped, which is counted in ``totals`` by now. Raises RollBack, or FloatingPointError with
        ``what`` is to be said, where there were too many in a row."""
        settings, row = self._settings, totals.get("bad_in_row", 0) + 1
        totals["bad_steps"] = totals.get("bad_steps", 0) + 1
        totals["bad_in_row"] = row
        self._say(f"step {totals['step']} is skipped ({row} in a row of at most {settings.max_bad_steps}): {what}")
        if row < settings.max_bad_steps:
            return
        if settings.on_bad_steps == "stop":
            raise FloatingPointError(what)
        good = totals["step"] - row
        last = (totals.get("rollbacks") or [{}])[-1].get("to_step")
        before = good - 1 if last == good else good  # the weights of that step are what is wrong
        said = f"{row} steps in a row were skipped, up to step {totals['step']}: {what}"
        raise RollBack(said, before, settings.max_rollbacks, settings.rollback_lr)

    def unsound(self, totals: Totals, what: str) -> RollBack | None:
        """What is to be raised where the weights of now give no finite numbers; None: the run ends."""
        settings = self._settings
        if settings.on_bad_steps == "stop":
            return None
        said = f"the weights of step {totals['step']} are unsound: {what}"
        return RollBack(said, totals["step"] - 1, settings.max_rollbacks, settings.rollback_lr, unsound=True)

    def trained(self, totals: Totals, loss: float) -> None:
        """A step was taken, which had this ``loss``. Raises what the alarm ``loss_spike`` is answered with."""
        totals["bad_in_row"] = 0
        settings, known = self._settings, totals.get("losses", [])
        totals["losses"] = [*known, loss][-WINDOW:]
        if not isinstance(settings, LoopSettings) or settings.loss_spike is None or len(known) < SEEN:
            return
        mean, spread = fmean(known), pstdev(known)
        was, now = totals.get("spiking", False), loss > mean + max(settings.loss_spike * spread, RISE * abs(mean))
        totals["spiking"] = now
        if not now or was:
            return
        said = (
            f"alarm loss_spike, at step {totals['step']}: the loss jumped to {loss:.3f} from {mean:.3f} ± {spread:.3f} "
            f"over the last {len(known)} steps. Look at the data of this step, or lower learning_rate."
        )
        totals["alarms"] = [*totals.get("alarms", []), said]
        self._say(said)
        answer(settings.alarm, "train.alarm", said, totals["step"] - 1, settings.max_rollbacks, settings.rollback_lr)

    @staticmethod
    def finished(totals: Totals) -> list[str]:
        """What is said at the end; what only the run needed leaves the totals."""
        for name in ("bad_in_row", "losses", "spiking"):
            totals.pop(name, None)
        said = list(totals.pop("alarms", []))
        if count := totals.get("bad_steps"):
            steps = "step was" if count == 1 else "steps were"
            said.append(
                f"{count} {steps} skipped, since the loss or its gradient was no finite number; the weights stayed as "
                "they were (rows with `skipped` in metrics.jsonl). Look at the data there, or lower learning_rate."
            )
        return said


def finite(value: float) -> float | None:
    """For JSON, which has no other numbers."""
    return value if math.isfinite(value) else None
