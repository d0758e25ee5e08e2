"""What a run says of itself while it runs: metrics.jsonl, the progress line, memory."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from strop.common import tracking
from strop.common.console import AT_WORK, EVERY, duration, redraws
from strop.common.files import atomic_writer

_TIMING = re.compile(r".*(seconds?|minutes)(/.*)?|(peak_)?memory_gb")


def is_timing(name: str) -> bool:
    """Whether a key of ``metrics.jsonl``, of a state or of a summary holds what a clock or the machine's memory
    decides: ``seconds``, ``tokens_per_second``, ``seconds/reward``, ``memory_gb`` … Everything else one seed fixes."""
    return _TIMING.fullmatch(name) is not None


def reset_peak_memory() -> None:
    """From here on `peak_memory_gb` is of what comes, so that a stage is not charged with an earlier one's."""
    if torch.cuda.is_initialized():  # to ask starts it, which takes memory of a GPU that a run on the CPU leaves alone
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # not Linux, or /proc is read-only: then it is the process's
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_gb() -> float:
    """Peak memory in GB (1e9 bytes) since `reset_peak_memory`: of the GPU where this process has tensors on one, else
    resident memory of this process."""
    if torch.cuda.is_initialized() and (peak := torch.cuda.max_memory_allocated()):
        return peak / 1e9
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


class MetricsLog:
    """Appends one JSON object per line; of the rows that are there first only those stay that are to be ``kept``, and
    none without it: a run that goes on makes the others again."""

    def __init__(
        self,
        path: Path,
        kept: Callable[[dict[str, Any]], bool] | None = None,
        say: Callable[[str], None] = lambda text: None,
    ):
        rows: list[str] = []
        if kept and path.exists():
            rows = [x for x in path.read_text().splitlines() if x.endswith("}") and kept(json.loads(x))]
        with atomic_writer(path) as file:  # a kill at this moment must not cost the rows that were there
            file.writelines(f"{x}\n" for x in rows)
        self._stage = path.parent.name.removesuffix(".new")
        self._path, self._say = path, say
        self._kept_back: list[str] = []  # what could not be written yet

    def close(self) -> None:
        """Raises OSError where rows are left that could not be written."""
        if self._kept_back:
            self._append()

    def write(self, row: dict[str, Any]) -> None:
        """A row that cannot be written is kept and tried again with the next one, which is said once."""
        tracking.track(self._stage, row)
        first = not self._kept_back
        self._kept_back.append(json.dumps(row) + "\n")
        try:
            self._append()
        except OSError as error:
            if first:
                self._say(f"WARNING: {self._path} cannot be written ({error.strerror}): rows are kept until it can be.")

    def _append(self) -> None:
        """Whole rows or none: what a full disk took of one is cut off again. A file that is gone begins anew."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        content = "".join(self._kept_back).encode()
        with self._path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                written = file.write(content)
                if written != len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(end)
                raise
        self._kept_back.clear()


class Progress:
    """One line: steps, loss, tokens/s, trained tokens/s, memory, elapsed and remaining time.

    On a terminal it is redrawn in place; in a log it is a line every tenth of the way, and at least every 30 seconds.
    """

    def __init__(self, title: str, steps: int, done: int, console: Console):
        self._console = console
        self._steps = steps
        self._bar = RichProgress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not redraws(self._console),
        )
        self._title = title
        self._task = self._bar.add_task(title, total=steps, completed=done, text="")
        self._seconds = 0.0
        self._shown = 0
        self._reward = ""  # of the newest batch of rollouts, where there are such
        self._said = self._row = time.monotonic()
        self._done, self._text = done, ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Progress:
        AT_WORK.append(self)
        self._bar.start()
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        AT_WORK.remove(self)
        self._stop.set()
        self._thread.join()
        self._bar.stop()

    def _watch(self) -> None:
        """Of a step that takes long there is a line too, where nothing within it speaks."""
        while not self._stop.wait(EVERY / 10):
            quiet = redraws(self._console) or AT_WORK[-1:] != [self]
            if not quiet and time.monotonic() - self._said > EVERY:
                self._said = time.monotonic()
                self._line(f"step {self._done + 1}/{self._steps} · at work, {duration(self._said - self._row)}")

    def _left(self) -> float | None:
        """Seconds; None before the first step, which takes longer than others."""
        return self._seconds / self._shown * (self._steps - self._done) if self._shown else None

    def state(self) -> dict[str, Any]:
        """As `Steady.state`."""
        return {
            "title": self._title,
            "done": self._done,
            "total": self._steps,
            "left": self._left(),
            "text": self._text,
        }

    def _line(self, text: str) -> None:
        self._console.print(f"{self._title} {text}", markup=False, highlight=False, soft_wrap=True)

    def show(self, row: dict[str, Any]) -> None:
        self._seconds += row["seconds"]
        self._shown += 1
        self._done, self._row = row["step"], time.monotonic()
        if "reward" in row:
            self._reward = f"reward {row['reward']:.3f} · "
        loss = "skipped" if row["loss"] is None else f"loss {row['loss']:.3f}"
        text = (
            f"{self._reward}{loss} · {row['tokens_per_second']:,.0f} tok/s · "
            f"{row['trained_tokens_per_second']:,.0f} trained/s · {row['memory_gb']:.1f} GB"
        )
        self._text = text
        self._bar.update(self._task, completed=row["step"], text=text)
        if redraws(self._console):
            return
        tenth = row["step"] % max(1, self._steps // 10) == 0 or row["step"] == self._steps
        # Said a step early rather than late: the next one may take as long as this one did.
        if tenth or time.monotonic() - self._said + row["seconds"] > EVERY:
            self._said = time.monotonic()
            self._line(f"step {row['step']}/{self._steps} · {text} · {duration(self._left() or 0)} left")
