"""A run as a copy (fork) of this process, which has strop loaded already; ended by SIGKILL at a chosen instant.

Two ways to choose one: some time after the run enters a part of its work (a step, the writing of a checkpoint, grading
…) for the n-th time; or right before the n-th operation on the file system that it does from its start. What is
random is drawn by the caller. A kill goes to the run's whole process group.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

from common.machine import ROOT

KEEPER = "strop.train.keeper"  # where checkpoints are written beside the training
CHECKPOINT = f"{KEEPER if importlib.util.find_spec(KEEPER) else 'strop.train.loop'}:save_checkpoint"
PARTS = {
    "checkpoint": CHECKPOINT,
    "step": "strop.train.loop:optimizer_step",
    "evaluation": "strop.stages._training:Training.evaluate",
    "rollouts": "strop.rollout.gather:Gatherer.gather",
    "grading": "strop.rollout.grading:Grader.grade",
    "final model": "strop.rollout.loaded:Loaded.save",
    "tasks": "strop.evals.in_training:InTraining.__call__",
}
"""Parts of a run's work, and what does them. The start-up is all before the first of them."""
START = "start-up"
FILE_EVENTS = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "shutil.rmtree", "open")
SECONDS = 300.0  # in which a run has to end


@dataclass(frozen=True)
class Instant:
    """``part``, entered for the ``count``-th time, and ``later`` seconds after that; or, with ``part`` "file", right
    before operation number ``count``."""

    part: str
    count: int
    later: float = 0.0


@dataclass
class Ended:
    """How a run ended. ``code``: its exit status, or minus the signal's number; ``killed``: what it was at when it was
    killed, None where it came to its end by itself before."""

    code: int
    said: str
    seconds: float
    killed: str | None = None
    entered: list[tuple[str, float]] = field(default_factory=list)
    operations: int = 0

    @property
    def last_line(self) -> str:
        lines = [line for line in self.said.splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""


def load_all() -> None:
    """Load what runs load, and measure what they measure of the machine, so that no copy of this process has to."""
    for name in (
        "strop.exporting.verb",
        "strop.runs.pipeline",
        "strop.stages._rl",
        "strop.stages._training",
        "matplotlib.backends.backend_svg",
        "matplotlib.figure",
        "matplotlib.textpath",
        "torch.profiler",
        "transformers.models.llama.modeling_llama",
    ):
        importlib.import_module(name)
    import torch

    from strop.doctor.machine import product_rate

    torch.set_num_threads(1)
    product_rate(torch.device("cpu"), torch.float32)


def forked(
    folder: Path,
    arguments: list[str],
    instant: Instant | None = None,
    meanwhile: Callable[[int, float], None] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Ended:
    """`strop ARGUMENTS` from ``folder``, in a copy of this process, which must not have computed with more than one
    thread. ``meanwhile(pid, seconds)`` is called about every 10 ms until it ends; ``prepare`` in the copy before it
    begins."""
    log, started = folder / "said.txt", time.monotonic()
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be(folder, log, arguments, writing, instant, prepare)
    os.close(writing)
    with suppress(ProcessLookupError, PermissionError):  # it has done so itself by now
        os.setpgid(pid, pid)
    ended = Ended(0, "", 0.0)
    due: float | None = None
    left = dict.fromkeys([instant.part], instant.count) if instant else {}
    events = _Lines(reading)
    if instant and instant.part == START:
        due = started + instant.later
    while True:
        for line in events.read(0.01 if due is None else min(0.01, max(0.0, due - time.monotonic()))):
            what, _, rest = line.partition(" ")
            if what == "count":
                ended.operations = int(rest)
            elif what == "file":
                ended.killed = f"file: {rest}"
            else:
                ended.entered.append((rest, time.monotonic() - started))
                if rest in left and what == "in":
                    left[rest] -= 1
                    if left[rest] == 0:
                        due = time.monotonic() + instant.later
        if meanwhile:
            meanwhile(pid, time.monotonic() - started)
        late = time.monotonic() - started > SECONDS
        gone, status = os.waitpid(pid, os.WNOHANG)
        if not gone and (late or (due is not None and time.monotonic() >= due)):
            os.killpg(pid, signal.SIGKILL)
            gone, status = os.waitpid(pid, 0)
            if late:
                raise TimeoutError(f"strop {' '.join(arguments)} in {folder} did not end within {SECONDS:g} s")
            if os.WIFSIGNALED(status):
                ended.killed = instant.part
        if gone:
            break
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # graders of a run that was killed; one that ended has none left
    for line in events.read(0):
        if line.startswith("file "):
            ended.killed = f"file: {line.partition(' ')[2]}"
        elif line.startswith("count "):
            ended.operations = int(line.partition(" ")[2])
    events.close()
    ended.code = os.waitstatus_to_exitcode(status)
    ended.said, ended.seconds = log.read_text(errors="replace"), time.monotonic() - started
    if ended.code != -signal.SIGKILL:
        ended.killed = None
    return ended


def _be(
    folder: Path,
    log: Path,
    arguments: list[str],
    pipe: int,
    instant: Instant | None,
    prepare: Callable[[], None] | None,
) -> None:
    """The copy: it never returns."""
    code = 70
    try:
        os.setpgid(0, 0)
        output = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        os.environ["STROP_CACHE"] = str(folder / "cache")
        # Processes that it starts begin with strop alone, as under `python -m strop`, and not with this program.
        main = sys.modules["__main__"]
        main.__spec__ = None
        if hasattr(main, "__file__"):
            del main.__file__
        _watch(pipe, folder, instant)
        if prepare:
            prepare()
        from strop.cli import main as strop

        code = strop(arguments)
    except BaseException:  # noqa: BLE001 - as an interpreter ends
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        _exit(pipe, code)


_operations = 0


def _exit(pipe: int, code: int) -> None:
    """As an interpreter ends, exit handlers and all."""
    import atexit
    import threading
    from multiprocessing import util

    threading._shutdown()
    util._exit_function()
    atexit._run_exitfuncs()
    os.write(pipe, f"count {_operations}\n".encode())
    os._exit(code)


def _watch(pipe: int, folder: Path, instant: Instant | None) -> None:
    """Tell through ``pipe`` of every part that is entered and left, and die at a file operation that is the one."""

    def telling(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def told(*args: Any, **kwargs: Any) -> Any:
            os.write(pipe, f"in {name}\n".encode())
            try:
                return function(*args, **kwargs)
            finally:
                os.write(pipe, f"out {name}\n".encode())

        return told

    for name, place in PARTS.items():
        module, _, path = place.partition(":")
        *owners, last = path.split(".")
        owner: Any = importlib.import_module(module)
        for one in owners:
            owner = getattr(owner, one)
        setattr(owner, last, telling(name, getattr(owner, last)))

    root = str(folder)

    def look(event: str, args: tuple[Any, ...]) -> None:
        global _operations
        if event not in FILE_EVENTS:
            return
        path = args[0]
        if event == "open" and not (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        if not isinstance(path, str | os.PathLike) or not os.path.abspath(path).startswith(root):
            return
        _operations += 1
        if instant and instant.part == "file" and _operations == instant.count:
            shown = os.path.relpath(os.path.abspath(args[1] if event == "os.rename" else path), root)
            os.write(pipe, f"file {event} {shown}\n".encode())
            os.killpg(0, signal.SIGKILL)

    sys.addaudithook(look)


class _Lines:
    """Lines of a pipe, as many as are there."""

    def __init__(self, descriptor: int):
        self._descriptor, self._rest = descriptor, b""
        os.set_blocking(descriptor, False)

    def read(self, seconds: float) -> list[str]:
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        found: list[str] = []
        while ready:
            try:
                data = os.read(self._descriptor, 65536)
            except BlockingIOError:
                break
            if not data:  # it has ended
                if not found:
                    time.sleep(min(seconds, 0.005))
                break
            *whole, self._rest = (self._rest + data).split(b"\n")
            found += [line.decode() for line in whole]
        return found

    def close(self) -> None:
        os.close(self._descriptor)


def left_over(folder: Path) -> list[int]:
    """Processes that work for a run in ``folder`` still: by its cache, which they have in their environment."""
    mark = f"STROP_CACHE={folder / 'cache'}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def parts_of(rehearsal: Ended) -> dict[str, tuple[int, float]]:
    """Of each part that the run entered: how often, and the mean seconds to what it entered or left next."""
    marks = [(START, 0.0), *rehearsal.entered, ("end", rehearsal.seconds)]
    found: dict[str, list[float]] = {}
    for (name, at), (_, then) in pairwise(marks):
        found.setdefault(name, []).append(then - at)
    return {name: (len(spans), sum(spans) / len(spans)) for name, spans in found.items()}


def draw(chance: random.Random, rehearsal: Ended, number: int) -> Instant:
    """Kill number ``number``: in turn by part of the work, and by operation on files."""
    parts = parts_of(rehearsal)
    if number % 2:
        return Instant("file", chance.randint(1, max(1, rehearsal.operations)))
    names = [START, *(name for name in PARTS if name in parts)]
    name = names[(number // 2) % len(names)]
    often, seconds = parts[name]
    return Instant(name, chance.randint(1, max(1, often // 2)), chance.random() * seconds)


def by_itself(folder: Path, arguments: list[str]) -> Ended:
    """`python -m strop ARGUMENTS` from ``folder``, a process that begins with nothing."""
    started = time.monotonic()
    own = {"STROP_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "strop", *arguments],
        cwd=folder, env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS,
        text=True, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, time.monotonic() - started)
