"""Tasks measured in the middle of a training, on the weights of the moment."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from strop.chat import ChatEncoder
from strop.common.console import Steady, redraws, say
from strop.evals.measure import Measurement
from strop.evals.results import changes_between
from strop.model.policy import Policy
from strop.rollout.engine import Scorer
from strop.tasks import open_task
from strop.tasks.base import TaskSettings
from strop.tasks.metrics import Metric, leading

KEY = "tasks/"
"""What the name of a task's metric begins with in metrics.jsonl; its interval has ``_low`` and ``_high`` behind it."""
SHOWN = 3
"""Metrics of a task in the line that is said."""


class InTraining:
    """Measures ``evals`` through ``engine``, which reads the weights of ``policy``: nothing is copied.

    Calling it gives a row for metrics.jsonl; every item is kept in ``folder/evals/step-NNNNNN/<task>.jsonl``.
    ``model``: the folder that the policy was loaded from. ``lead``: a metric that tells of its task instead of the one
    that leads its report. Raises InputError for tasks whose data are not there.
    """

    def __init__(
        self,
        evals: Mapping[str, TaskSettings],
        model: Path,
        policy: Policy,
        tokenizer: Any,
        encoder: ChatEncoder,
        engine: Scorer,
        folder: Path,
        console: Console,
        title: str,
        lead: str | None = None,
    ):
        self.tasks = [open_task(name, settings) for name, settings in evals.items()]
        self.metrics = {name: metric for task in self.tasks for name, metric in task.measures().items()}
        self._of = (model, policy, tokenizer, encoder)
        self._engine, self._folder, self._console, self._title = engine, folder, console, title
        self._noted = False
        own = {task.name: leading(task.measures().values()) for task in self.tasks}
        self._shown = {name: several[:SHOWN] for name, several in own.items()}
        # One metric of each task that says whether it got worse.
        self.leading = {
            name: next((metric for metric in several if metric.name == lead), several[0])
            for name, several in own.items()
            if several[0].better
        }

    def __call__(self, step: int, look: Callable[[], None] = lambda: None) -> dict[str, float]:
        """``look`` is called between items; what it raises leaves everything as it was."""
        started, place = time.perf_counter(), self.place(step)
        shutil.rmtree(place, ignore_errors=True)  # of a run that was cut off here: of these weights, who knows
        silent = Console(quiet=True, file=io.StringIO())
        # A terminal has the bar of the training already, and a second one would be drawn over it.
        at_work = Steady(silent if redraws(self._console) else self._console, f"{self._title}: tasks at step {step}")

        def on_item() -> None:
            at_work.advance()
            look()

        measurement = Measurement(*self._of, self._engine, place, silent, on_item=on_item)
        self._engine.sync()
        try:
            with at_work:
                found = measurement.measure(self.tasks)["metrics"]
        finally:
            self._engine.sync()  # the memory of keys and values is the training's again
        seconds = time.perf_counter() - started
        for task, several in self._shown.items():
            shown = ", ".join(f"{metric.name} {_with_interval(found[metric.name])}" for metric in several)
            items = found[several[0].name]["n"]
            self._say(f"step {step} · {shown} ({task}: {items:,} items; {seconds:.1f} s for all tasks)")
        for task, texts in () if self._noted else measurement.notes.items():
            for text in texts:
                self._say(f"{task}: {text}")
        self._noted = True
        row: dict[str, float] = {}
        for name in self.metrics:
            one = found[name]
            row |= {f"{KEY}{name}": one["value"], f"{KEY}{name}_low": one["low"], f"{KEY}{name}_high": one["high"]}
        return {**row, "seconds/tasks": seconds}

    def answers_with(self, engine: Scorer) -> None:
        """From here on through this engine."""
        self._engine = engine

    def _say(self, text: str) -> None:
        say(self._console, f"{self._title}: {text}")

    def place(self, step: int) -> Path:
        """Where the items of a step are."""
        return self._folder / "evals" / f"step-{step:06d}"

    def falls(self, step: int, row: Mapping[str, float]) -> dict[str, tuple[int, float]]:
        """For the leading metric of each task the step at which it was best, of equals the first, and how far it has
        certainly fallen from there to ``step``, of which ``row`` is: what the 95 % interval of the paired change leaves
        of it, 0 or more, in the metric's unit. Where it was never better than now, ``step`` and 0."""
        found = {}
        rows = {at: one for at, one in self._rows() if at < step} | {step: row}
        for task, metric in self.leading.items():
            values = {at: metric.better * one[KEY + metric.name] for at, one in rows.items()}
            best = max(values, key=lambda at: (values[at], -at))
            fall = 0.0
            if best != step:
                change = self._change(task, metric, best, step)
                ends = [-metric.better * end for end in (change["low"], change["high"]) if end is not None]
                fall = max(0.0, min(ends, default=0.0))
            found[metric.name] = (best, fall)
        return found

    def facts(self, step: int) -> dict[str, str]:
        """How each task went from the first measurement to the one at ``step``, in words."""
        rows, facts = dict(self._rows()), {}
        if not rows or step not in rows:
            return {}
        first = min(rows)
        for task, metric in self.leading.items():
            begin, end = (rows[at][KEY + metric.name] for at in (first, step))
            facts[metric.name] = f"{begin:.3f} → {end:.3f}"
            change = self._change(task, metric, first, step)
            if first != step and change["low"] is not None:
                interval = f"{change['low']:+.3f} … {change['high']:+.3f}"
                facts[metric.name] += f" (95 % interval of the change {interval}; {change['n']:,} items)"
        return facts

    def _rows(self) -> list[tuple[int, dict[str, float]]]:
        lines = (self._folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [(row["step"], row) for line in lines if "seconds/tasks" in (row := json.loads(line))]

    def _change(self, task: str, metric: Metric, before: int, after: int) -> dict[str, Any]:
        first, second = (self.place(at) / f"{task}.jsonl" for at in (before, after))
        return changes_between(first, second, {metric.name: metric})[metric.name].to_dict()


def _with_interval(one: Mapping[str, Any]) -> str:
    ends = "" if one["low"] is None else f" [{one['low']:.3f}, {one['high']:.3f}]"
    return f"{one['value']:.3f}{ends}"
