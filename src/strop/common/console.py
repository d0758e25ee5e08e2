"""What is printed for people: one look on a terminal, plain whole lines in a pipe or a log.

In a pipe nothing is wrapped, no line is drawn over another, and long work says where it is at least every 30 seconds.
Nothing that is printed is taken for markup: a file may be called ``[/x].jsonl``.
"""

from __future__ import annotations

import threading
import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

EVERY = 30.0
"""Seconds after which long work is heard of again."""
_PIPE_WIDTH = 10_000
"""Columns of a table in a pipe: as many as it wants."""


def make_console(*, stderr: bool = False, file: TextIO | None = None) -> Console:
    """The console that a verb prints on: no markup, no emoji codes, no wrapping outside a terminal."""
    console = Console(stderr=stderr, file=file, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
        console.soft_wrap = True
    return console


def say(console: Console, text: str, style: str | None = None) -> None:
    """A line for people, as it stands."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def heading(console: Console, title: str) -> None:
    """A line that begins a part of the output."""
    if console.is_terminal:
        console.rule(title, align="left", style="bold")
    else:
        console.print(f"── {title}", markup=False)


class Steady:
    """Work that may take long, as a context manager: a bar on a terminal; elsewhere a line whenever ``every`` seconds
    have passed without one, though nothing may have been finished meanwhile.

    ``title``: what is done, e.g. ``code_basics: answers``; ``total``: how many there are; ``done``: how many before.
    """

    def __init__(
        self, console: Console, title: str, total: int | None = None, *, done: int = 0, every: float = EVERY
    ) -> None:
        self._console, self._title, self._total, self._done, self._before = console, title, total, done, done
        self._every = every
        self._bar: Bar | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Steady:
        self._started = time.monotonic()
        if self._console.is_terminal:
            count = (MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn()) if self._total else ()
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                TimeElapsedColumn(),
                *count,
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(self._title, total=self._total, completed=self._done)
            self._bar.start()
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._bar is not None:
            self._bar.stop()
        else:
            self._thread.join()

    def advance(self, count: int = 1) -> None:
        """``count`` more are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            say(self._console, self._line())

    def _line(self) -> str:
        seconds = time.monotonic() - self._started
        if self._total is None:
            count = f"{self._done:,} so far" if self._done else "at work"
            return f"{self._title}: {count}, {duration(seconds)}"
        done = self._done - self._before
        left = f", about {duration(seconds / done * (self._total - self._done))} left" if done else ""
        return f"{self._title}: {self._done:,} of {self._total:,}, {duration(seconds)}{left}"


def duration(seconds: float) -> str:
    """``40 s``, ``2.5 min`` or ``3.1 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
