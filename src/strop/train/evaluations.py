"""What is measured while a run trains: when, and once for each step, however often the run is stopped there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from strop.train.settings import StepSettings

Look = Callable[[], None]
"""Called between items by what takes long; raises Stopped where it is to be left off."""
Tasks = Callable[[int, Look], dict[str, float]]
"""Measures tasks at a step: metrics as ``tasks/NAME``, with ``_low`` and ``_high``."""
LOSS, TASKS = "eval", "tasks"
_MARK = "seconds/tasks"
"""In every row of `TASKS`."""


@dataclass(frozen=True)
class Wanted:
    """What is to be best: ``key`` in the rows of metrics.jsonl, what people call it, and the direction."""

    key: str
    name: str
    better: Literal[1, -1]


class Evaluations:
    """The evaluation loss and tasks, each at both ends and every so many steps.

    At which step each was measured last stands in the totals of the run under ``evaluated``, and so in checkpoints: one
    that was left off is measured when the run goes on.
    """

    def __init__(self, evaluate: Callable[[], dict[str, float]] | None, tasks: Tasks | None, settings: StepSettings):
        self._evaluate, self._tasks = evaluate, tasks
        self._every = {LOSS: settings.eval_every, TASKS: settings.tasks_every}

    def due(self, step: int, steps: int, totals: dict[str, Any]) -> Iterator[Callable[[Look], dict[str, float]]]:
        """What is to be measured at ``step`` of ``steps``; each counts as measured when the next is asked for."""
        evaluate, tasks = self._evaluate, self._tasks
        ways: dict[str, Callable[[Look], dict[str, float]] | None] = {
            LOSS: evaluate and (lambda look: evaluate()),
            TASKS: tasks and (lambda look: tasks(step, look)),
        }
        # A checkpoint from before this was written down had all of it measured.
        done = totals.setdefault("evaluated", dict.fromkeys(ways, step) if step else {})
        for kind, measure in ways.items():
            every = self._every[kind]
            if measure and (step in (0, steps) or (every and step % every == 0)) and done.get(kind) != step:
                yield measure
                done[kind] = step

    @staticmethod
    def holds(row: Mapping[str, Any], step: int, totals: Mapping[str, Any]) -> bool:
        """Whether a row of metrics.jsonl stays when a run goes on from a checkpoint of ``step`` with ``totals``: not of
        later steps, and not what will be measured again."""
        if row["step"] != step or "loss" in row:
            return row["step"] <= step
        done = totals.get("evaluated", {LOSS: step, TASKS: step})
        return done.get(TASKS if _MARK in row else LOSS) == step
