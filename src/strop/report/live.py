"""The page of a run that goes on, written anew by a process of its own: python -m strop.report.live RUN

The training process draws no charts, so no step waits for them. This one has the lowest priority, reads the files
of the run, and writes ``report.html`` at most every `EVERY` seconds and never for more than a tenth of the time. It
ends when its standard input does: after ``done`` without a word, else (the run ended otherwise, or was killed) with a
last page that says so and refreshes no more.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from strop.common.console import duration
from strop.common.files import atomic_writer
from strop.report.files import Summary, run_files
from strop.report.page import page_of

PROGRESS = "progress.json"
"""In a run's folder: what it is at, or how it ended; see `strop.runs.live`."""
EVERY = 30.0
_MOST_BYTES = 1 << 19
"""Of rollouts, and of answers, in a page that is written often."""


def read_progress(folder: Path) -> dict[str, Any]:
    """Empty where there is none, or it is damaged: it only says where a run is."""
    try:
        found = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_live(folder: Path, progress: dict[str, Any], running: bool) -> None:
    """``report.html`` of a run that is not finished. Raises OSError as open() does."""
    run = run_files(folder, Summary.model_validate(progress["summary"]))
    html = page_of(run, _MOST_BYTES, _MOST_BYTES, live=banner(progress, running))
    with atomic_writer(folder / "report.html") as file:
        file.write(html)


def banner(progress: dict[str, Any], running: bool) -> dict[str, Any]:
    """What stands at the top: the stage, what is done of it, how long it will take."""
    stage, lines = progress.get("stage") or "beginning", []
    if running:
        title = f"Running: {stage}."
    elif progress.get("state") == "running":
        title = f"Cut off in {stage}: its process is gone. The same command goes on."
    else:
        title = f"{str(progress.get('state')).capitalize()} in {stage}."
    for one in progress.get("doing", ()):
        count = f"{one['done']:,} of {one['total']:,}" if one["total"] is not None else f"{one['done'] or 'at work'}"
        left = f", about {duration(one['left'])} left" if one["left"] is not None and running else ""
        text = f"; {one['text']}" if one.get("text") else ""
        lines.append(f"{one['title']}: {count}{left}{text}.")
    if progress.get("why"):
        lines.append(str(progress["why"]))
    written = time.strftime("%Y-%m-%d %H:%M:%S")
    found = {"title": title, "lines": lines, "refresh": int(EVERY) if running else 0, "written": written}
    return {**found, "stages": list(_stages(progress)), "stage": stage}


def _stages(progress: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every stage of a recipe that has several, with the time that it took, or has taken so far."""
    stages = progress.get("stages", ())
    minutes = {**progress["summary"]["minutes"], progress["stage"]: progress.get("minutes")}
    for name in stages if len(stages) > 1 else ():
        taken = minutes.get(name)
        yield name, "" if taken is None else duration(60 * taken)


def main(folder: Path) -> None:
    """See the module."""
    os.nice(19)
    said, wait = False, 0.0
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], wait)
        last = bool(ready)
        if last and sys.stdin.readline().strip() == "done":
            return
        started = time.monotonic()
        progress = read_progress(folder)
        if "summary" in progress:
            try:
                write_live(folder, progress, running=not last)
            except (OSError, ValueError) as error:  # a full disk, or a file that is being written at this moment
                if not said:
                    print(
                        f"strop: {folder / 'report.html'} is not written anew ({error}); the run goes on.",
                        file=sys.stderr,
                    )
                said = True
        if last:
            return
        wait = max(EVERY, 10 * (time.monotonic() - started))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
