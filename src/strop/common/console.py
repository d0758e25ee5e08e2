"""What is printed for people: one look on a terminal, plain whole lines in a pipe or a log.

In a pipe nothing is wrapped, no line is drawn over another, and long work says where it is at least every 30 seconds.
Nothing that is printed is taken for markup: a file may be called ``[/x].jsonl``.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from strop.common.heartbeat import beat

T = TypeVar("T")
EVERY = 30.0
"""Seconds after which long work is heard of again."""
_PIPE_WIDTH = 10_000
"""Columns of a table in a pipe: as many as it wants."""


class OwnConsole(Console):
    """One that raises BrokenPipeError where whoever read it has left; rich's raises SystemExit."""

    def on_broken_pipe(self) -> None:
        self.quiet = True  # for what is said on the way out
        raise BrokenPipeError(errno.EPIPE, "whoever read the output has left")


def make_console(*, stderr: bool = False, file: TextIO | None = None) -> Console:
    """The console that a verb prints on: no markup, no emoji codes, no wrapping outside a terminal."""
    console = OwnConsole(stderr=stderr, file=file, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
        console.soft_wrap = True
    return console


def redraws(console: Console) -> bool:
    """Whether a line can be drawn over: on a terminal, but not on a dumb one (TERM=dumb), where bars are never seen."""
    return console.is_terminal and not console.is_dumb_terminal


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

    ``title``: what is done, e.g. ``code_basics: answers``; ``total``: how many there are; ``done``: how many before;
    ``at_once``: how many are worked on at a time. Of work within other work only the inner one speaks.
    """

    def __init__(
        self,
        console: Console,
        title: str,
        total: int | None = None,
        *,
        done: int = 0,
        every: float = EVERY,
        at_once: int = 1,
    ) -> None:
        self._at_once = at_once
        self._console, self._title, self._total, self._done, self._before = console, title, total, done, done
        self._every = every
        self._bar: Bar | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Steady:
        self._started = time.monotonic()
        if redraws(self._console):
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
        AT_WORK.append(self)  # last: what a signal's handler raises before leaves nothing at work that never ends
        return self

    def __exit__(self, *_: object) -> None:
        AT_WORK.remove(self)
        self._stop.set()
        if self._bar is not None:
            self._bar.stop()
        else:
            self._thread.join()

    def advance(self, count: int = 1) -> None:
        """``count`` more are done."""
        beat(self._title)
        self._done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)

    def through(self, items: Iterable[T]) -> Iterator[T]:
        """The items, each counted when it is done with."""
        for item in items:
            yield item
            self.advance()

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            if AT_WORK[-1:] == [self]:
                say(self._console, self._line())

    def _line(self) -> str:
        seconds = time.monotonic() - self._started
        if self._total is None:
            count = f"{self._done:,} so far" if self._done else "at work"
            return f"{self._title}: {count}, {duration(seconds)}"
        left = seconds_left(seconds, self._done - self._before, self._total - self._before, self._at_once)
        said = "" if left is None else f", about {duration(left)} left"
        return f"{self._title}: {self._done:,} of {self._total:,}, {duration(seconds)}{said}"

    def state(self) -> dict[str, Any]:
        """What is done, for a page: ``title``, ``done``, ``total`` (None: not known) and ``left``, seconds."""
        spent, left = time.monotonic() - self._started, None
        if self._total is not None:
            left = seconds_left(spent, self._done - self._before, self._total - self._before, self._at_once)
        return {"title": self._title, "done": self._done, "total": self._total, "left": left}


AT_WORK: list[Any] = []
"""What this process is at, the innermost last; each has a ``state()``."""
_console: Console | None = None


@contextmanager
def speaking_on(console: Console) -> Iterator[None]:
    """Within the block, `working` speaks on this console."""
    global _console
    before, _console = _console, console
    try:
        yield
    finally:
        _console = before


def working(title: str, total: int | None = None, *, done: int = 0, at_once: int = 1) -> Steady:
    """`Steady` on the console of the run that this is a part of; silent where there is none."""
    return Steady(_console or Console(quiet=True), title, total, done=done, at_once=at_once)


def seconds_left(spent: float, done: int, total: int, at_once: int = 1) -> float | None:
    """How long the rest will take, of ``total`` of which ``done`` took ``spent`` seconds; None until a tenth is done.

    With ``at_once`` in progress at a time, those count as half done: the first of many to end says nothing about how
    long each takes.
    """
    if done < max(1, total / 10):
        return None
    under_way = min(at_once, total - done) / 2 if at_once > 1 else 0.0
    return spent / (done + under_way) * (total - done - under_way)


def duration(seconds: float) -> str:
    """``40 s``, ``2.5 min`` or ``3.1 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
