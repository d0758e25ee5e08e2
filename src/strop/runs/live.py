"""What a run says of itself while it runs, beside its lines: ``progress.json`` and the page that is written anew.

``progress.json``: ``state`` (running, finished, stopped, failed), ``stage``, ``doing`` (what is done of what, see
`strop.common.console.AT_WORK`), ``why`` it ended, ``started`` and ``written`` (seconds since 1970), ``pid``,
``stages`` (all of the recipe, in order), ``minutes`` that the stage has taken, those before it was cut off and gone on
with among them, and ``summary``, which is that of the stages so far.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Any

from rich.console import Console

from strop.common.console import AT_WORK, say
from strop.common.errors import Interrupted
from strop.common.files import write_json
from strop.report.live import EVERY, PROGRESS

_TELLS = 5.0
"""Seconds between two looks at what is done."""
_LAST = 20.0
"""Seconds that the page's process gets for its last page, and a browser to open."""


class Live:
    """A context manager around a run. A run of less than `EVERY` seconds starts no process, unless the page is to be
    opened; one that is refused before its first stage leaves what an earlier one wrote. Nothing in here ends a run:
    what cannot be written is said once."""

    def __init__(self, folder: Path, console: Console, open_page: bool = False):
        self._folder, self._console, self._open = folder, console, open_page
        self._told: dict[str, Any] = {"state": "running", "stage": "", "started": time.time(), "pid": os.getpid()}
        self._writer: subprocess.Popen | None = None
        self._stop, self._said = threading.Event(), False
        self._lock = threading.Lock()
        self._before, self._begun = 0.0, time.monotonic()

    def __enter__(self) -> Live:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._stop.set()
        self._thread.join(_LAST)  # a browser that is opened may keep it
        if kind is None:
            self._told |= {"state": "finished"}
        else:
            stopped = isinstance(error, Interrupted | KeyboardInterrupt)
            self._told |= {"state": "stopped" if stopped else "failed", "why": str(error) or kind.__name__}
        self._tell(over=kind is None)
        self._end("" if kind else "done\n")

    def stage(self, name: str, stages: list[str], summary: dict[str, Any], minutes: float = 0.0) -> None:
        """A stage begins, which has taken ``minutes`` already; ``stages``: all that there are, ``summary``: of those so
        far."""
        self._before, self._begun = minutes, time.monotonic()
        self._told |= {"stage": name, "stages": stages, "summary": summary}
        self._tell()

    def so_far(self, summary: dict[str, Any]) -> None:
        """The stage has got further."""
        self._told |= {"summary": summary}
        self._tell()

    def finishing(self) -> None:
        """The run's own page is written now."""
        self._end("done\n")

    def _watch(self) -> None:
        begun = time.monotonic()
        while True:
            if self._writer is None and "summary" in self._told and (self._open or time.monotonic() - begun > EVERY):
                self._begin()
            if self._stop.wait(1.0 if self._open and self._writer is None else _TELLS):
                return
            self._tell()

    def _tell(self, over: bool = False) -> None:
        if "summary" not in self._told and not over:  # no stage has begun
            return
        with self._lock:
            if doing := [one.state() for one in [*AT_WORK]]:  # of a run that ended, what it was at
                self._told["doing"] = doing
            elif self._told["state"] in ("running", "finished"):
                self._told["doing"] = []
            try:
                minutes = self._before + (time.monotonic() - self._begun) / 60
                write_json(self._folder / PROGRESS, {**self._told, "minutes": minutes, "written": time.time()})
            except OSError as error:
                if not self._said:
                    say(
                        self._console,
                        f"{self._folder / PROGRESS}: cannot be written ({error.strerror}); the run goes on.",
                    )
                self._said = True

    def _begin(self) -> None:
        command = [sys.executable, "-m", "strop.report.live", str(self._folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._writer = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,
        )
        page = (self._folder / "report.html").resolve()
        say(self._console, f"page of the run, written anew as it goes: {page}")
        if self._open:
            for _ in range(100):  # until it is there
                if page.is_file() or self._stop.wait(0.2):
                    break
            if not webbrowser.open(page.as_uri()):
                say(self._console, f"no browser can be opened here; open {page} in one.")

    def _end(self, word: str) -> None:
        writer, self._writer = self._writer, None
        if writer is None or writer.stdin is None:
            return
        self._stop.set()
        with contextlib.suppress(OSError):  # it ended before, and said why
            writer.stdin.write(word)
            writer.stdin.close()
        try:
            writer.wait(_LAST)
        except subprocess.TimeoutExpired:
            writer.kill()
            writer.wait()
