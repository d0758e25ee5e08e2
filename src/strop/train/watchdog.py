"""A run that gets no further for too long says where it hangs, and ends instead of waiting for ever."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from strop.common.heartbeat import beat, silence

FILE = "stacks.txt"
_OF_A_PROCESS = ("cmdline", "wchan", "stack", "status")


@contextmanager
def watchdog(minutes: float | None, folder: Path, leave: Callable[[int], object] = os._exit) -> Iterator[None]:
    """Inside, ``minutes`` without a `beat` write ``folder/stacks.txt`` and end the process with exit code 1, at once:
    whatever hangs does not hear a signal. Checkpoints that are whole stay so. None: no watch is kept."""
    if minutes is None:
        yield
        return
    beat("the start of training")
    ended = threading.Event()
    args = (60 * minutes, folder, ended, leave)
    threading.Thread(target=_watch, args=args, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _watch(limit: float, folder: Path, ended: threading.Event, leave: Callable[[int], object]) -> None:
    while not ended.wait(min(10.0, limit / 4)):
        seconds, last = silence()
        if seconds < limit:
            continue
        place = write_stacks(folder, f"no sign of life for {seconds / 60:.1f} minutes; the last one was {last}.")
        words = f"strop: nothing got on for {seconds / 60:.1f} minutes (last: {last}), so the run ends here; "
        words += f"{place} says where every thread and process was. The same command goes on from the newest checkpoint"
        print(words + " (watchdog_minutes).", file=sys.stderr, flush=True)
        leave(1)
        return


def write_stacks(folder: Path, why: str) -> Path:
    """Where every thread of this process is (`faulthandler`), and what the kernel knows of its children; returns the
    file, or ``standard error`` where none can be written."""
    path = folder / FILE
    try:
        file = path.open("w", encoding="utf-8")
    except OSError:
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
        return Path("standard error")
    with file:
        print(why, f"\nthreads of process {os.getpid()}:", file=file, flush=True)
        faulthandler.dump_traceback(file, all_threads=True)
        for child in children(os.getpid()):
            print(f"\nprocess {child}:", file=file)
            for name in _OF_A_PROCESS:
                with suppress(OSError):  # it has ended, or may not be read
                    text = Path(f"/proc/{child}/{name}").read_text(errors="replace").replace("\0", " ").strip()
                    print(f"{name}: {text}", file=file)
    return path


def children(process: int) -> list[int]:
    """All processes below it, nearest first; none where there is no /proc."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, task.read_text().split())
    return found + [below for child in found for below in children(child)]
