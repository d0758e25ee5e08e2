"""Faults besides kills: what a run stands on is taken away or damaged, then put right; the same command comes again.

A row for each: how often, and whether the run said what was the matter and then ended where it would have. What cannot
be done on a machine (to mount takes root) is a row that says ``skipped`` and why.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.chaos_kills import Ended, forked
from common.chaos_ranks import rank_killed
from common.chaos_same import differences
from common.chaos_stages import NAME, Chaotic
from common.machine import ROOT
from strop.rollout.loaded import Loaded

if TYPE_CHECKING:
    from chaos import Kills

RUN = ["run", "recipe.yaml"]
TIMES = 2
FULL, READ_ONLY, DAMAGED = r"[Nn]o space|free space|free some space|are free", r"[Rr]ead-only", r"damaged|not whole"
GOES_ON = "Training goes on"
PART_OF_CHECKPOINTS = re.compile(r".*/checkpoints/.*")


class Skipped(Exception):
    """The fault cannot be made here; says why."""


def faults(name: str, kills: Kills, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Those that are tried on the stage called ``name``, whose uninterrupted run ``kills`` has."""
    tried: dict[str, dict[str, Callable[[Kills, random.Random], int]]] = {
        "sft": {
            "disk full": disk_full,
            "checkpoint truncated": damaged(truncate),
            "checkpoint with a flipped bit": damaged(flip),
            "read-only before the start": read_only_before,
            "read-only in the middle": read_only_during,
            "one of two ranks killed": rank_killed,
        },
        "grpo": {"grading process killed": worker_killed, "rollout server killed in an answer": server_killed},
        "grpo-ahead": {"sampling or grading process killed": worker_killed},
    }
    for fault, make in tried.get(name, {}).items():
        before, times, why = len(kills.found), 0, ""
        try:
            times = make(kills, chance)
        except Skipped as reason:
            why = f"skipped: {reason}"
        except RuntimeError as reason:  # one that does not come about ends no table
            kills.tell(fault, {"file": "", "what": f"could not be made: {reason}", "bytes": 0})
        found = kills.found[before:]
        good = "told, then identical" if not found else f"{len(found)} differences"
        yield {
            "stage": name,
            "fault": fault,
            "times": times,
            "outcome": why or good,
            "bytes": sum(one["bytes"] for one in found),
            "found": found,
        }


def again(kills: Kills, fault: str, ended: Ended, said: str | None, *, loses_checkpoints: bool = False) -> None:
    """After the fault: what the run said, nothing half visible, and the same command to the end. ``said``: what its
    output must have in it where it failed. One that trained on without being able to write has other checkpoints
    (``loses_checkpoints``) and says so among its warnings, and nothing else that is other."""
    if not fault.startswith((truncate.__name__, flip.__name__)):  # what was damaged is not whole
        kills.whole(fault)
    if "Traceback" in ended.said:
        kills.tell(fault, {"file": "", "what": f"a traceback: {ended.last_line}", "bytes": 0})
    if said and not re.search(said, ended.said):
        kills.tell(fault, {"file": "", "what": f"did not say {said}: {ended.last_line}", "bytes": 0})
    went_on = loses_checkpoints and GOES_ON in ended.said
    kills.check(forked(kills.run, RUN), f"{fault}, then again")
    for one in differences(kills.reference / "runs" / NAME, kills.run / "runs" / NAME):
        lost = PART_OF_CHECKPOINTS.fullmatch(one["file"]) or one["what"].startswith("warnings:")
        if not ((went_on and lost) or ".damaged/" in one["file"]):  # what was damaged stays, under another name
            kills.tell(f"{fault}, then again", one)


def disk_full(kills: Kills, chance: random.Random) -> int:
    """The run folder is a small file system, which is larger the second time."""
    size = sum(path.stat().st_size for path in (kills.reference / "runs").rglob("*") if path.is_file())
    for _ in range(TIMES):
        kills.fresh()
        runs = kills.run / "runs"
        runs.mkdir()
        with mounted("-t", "tmpfs", "-o", f"size={int(size * chance.uniform(0.1, 0.8))}", "strop-chaos", str(runs)):
            ended = forked(kills.run, RUN)
            _do("mount", "-o", "remount,size=256m", str(runs))
            again(kills, "disk full", ended, FULL, loses_checkpoints=True)
    return TIMES


def truncate(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


def flip(path: Path, chance: random.Random) -> None:
    """One bit."""
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def damaged(how: Callable[[Path, random.Random], None]) -> Callable[[Kills, random.Random], int]:
    """Damage a file of the newest of two checkpoints: it must be named and passed over."""

    def make(kills: Kills, chance: random.Random) -> int:
        for _ in range(TIMES):
            kills.fresh()
            forked(kills.run, RUN, prepare=_dies_before_the_model)  # when all checkpoints are written
            *earlier, newest = sorted((kills.run / "runs" / NAME / kills.stage.stage / "checkpoints").glob("step-*"))
            if not earlier:
                raise RuntimeError(f"{newest} is alone, so it cannot be passed over")
            file = chance.choice(sorted(newest.iterdir()))
            how(file, chance)
            what = f"{how.__name__} {newest.name}/{file.name}"
            ended = forked(kills.run, RUN)
            kills.check(ended, what)
            again(kills, what, replace(ended, code=1), f"{newest.name}.*{DAMAGED}")
        return TIMES

    return make


def _dies_before_the_model() -> None:
    Loaded.save = lambda *given: os.killpg(0, signal.SIGKILL)


def read_only_before(kills: Kills, chance: random.Random) -> int:
    kills.fresh()
    runs = kills.run / "runs"
    runs.mkdir()
    with bound_read_only(runs):
        ended = forked(kills.run, RUN)
    again(kills, "read-only before the start", ended, READ_ONLY)
    return 1


def read_only_during(kills: Kills, chance: random.Random) -> int:
    """The folder of the checkpoints, as soon as one is there."""
    kills.fresh()
    folder = kills.run / "runs" / NAME / kills.stage.stage / "checkpoints"
    made: list[Path] = []

    def take_away(pid: int, seconds: float) -> None:
        if not made and any(folder.glob("step-*")):
            os.kill(pid, signal.SIGSTOP)  # or it would be done before
            made.append(folder)
            _bind_read_only(folder)
            os.kill(pid, signal.SIGCONT)

    try:
        ended = forked(kills.run, RUN, meanwhile=take_away)
    finally:
        for place in made:
            _do("umount", "-l", str(place))
    again(kills, "read-only in the middle", ended, READ_ONLY, loses_checkpoints=True)
    return 1


def worker_killed(kills: Kills, chance: random.Random) -> int:
    """A process that the run has started, chosen by chance and killed while it starts or works. The run may go on with
    another, or end with a checkpoint."""
    for _ in range(TIMES):
        kills.fresh()
        after, killed = chance.uniform(0.0, 3.0), []
        seen: dict[int, float] = {}

        def kill_one(pid: int, seconds: float, after=after, killed=killed, seen=seen) -> None:
            if killed or seconds % 0.1 > 0.02:  # a look at every process takes a while
                return
            for worker in workers_of(pid):
                if seconds - seen.setdefault(worker, seconds) >= after:
                    os.kill(worker, signal.SIGKILL)
                    killed.append(worker)
                    return

        ended = forked(kills.run, RUN, meanwhile=kill_one)
        if not killed:
            raise RuntimeError("the run ended before any of its processes could be killed")
        again(kills, f"a process killed after {after:.1f} s", ended, None)
    return TIMES


def workers_of(pid: int) -> list[int]:
    """Processes that a run has started to work for it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return found


def server_killed(kills: Kills, chance: random.Random) -> int:
    """What speaks as vLLM does (tests/rollout/serving.py) dies in the middle of an answer; then it is there again."""
    from chaos import Kills

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    given = {key: value for key, value in kills.stage.given.items() if key != "environment"}
    vllm = {"rollout": {"engine": "vllm", "vllm": {"url": [f"http://127.0.0.1:{port}"]}}}
    stage = Chaotic("rl", given, kills.stage.files, vllm)
    place = kills.run.parent / "server"
    place.mkdir()
    mine = Kills(kills.name, stage, place, kills.model, 0)
    try:
        with serving(kills.model, port):
            mine.begin()
        mine.fresh()
        with serving(kills.model, port, dies=chance.randint(1, 30)) as ended_by_itself:
            ended = forked(mine.run, RUN)
            if not ended_by_itself():
                raise RuntimeError("the server did not come to the answer in which it was to die")
        with serving(kills.model, port):
            again(mine, "rollout server killed", ended, f"127.0.0.1:{port}")
    finally:
        kills.found += mine.found
    return 1


@contextmanager
def serving(model: Path, port: int, dies: int | None = None) -> Iterator[Callable[[], bool]]:
    """A server in a process of its own; gives whether it has ended. It kills itself in answer ``dies``."""
    code = (
        "import os, signal, sys, threading\n"
        "from serving import Serving\n"
        "folder, port, dies = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n"
        "class Dying(Serving):\n"
        "    def answer(self, body):\n"
        "        if self.answers == dies:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().answer(body)\n"
        "server = Dying(folder, port=port)\n"
        "print('ready', flush=True)\n"
        "threading.Event().wait()\n"
    )
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests/rollout")])
    command = [sys.executable, "-c", code, str(model), str(port), str(-1 if dies is None else dies)]
    environment = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the server did not start")
        yield lambda: process.poll() is not None
    finally:
        process.kill()
        process.wait()


@contextmanager
def mounted(*words: str) -> Iterator[None]:
    """`mount` with these words, the last of which is where."""
    _do("mount", *words)
    try:
        yield
    finally:
        _do("umount", "-l", words[-1])


@contextmanager
def bound_read_only(folder: Path) -> Iterator[None]:
    _bind_read_only(folder)
    try:
        yield
    finally:
        _do("umount", "-l", str(folder))


def _bind_read_only(folder: Path) -> None:
    _do("mount", "--bind", str(folder), str(folder))
    _do("mount", "-o", "remount,bind,ro", str(folder))


def _do(*command: str) -> None:
    """Raises Skipped where the system does not let us."""
    if os.geteuid() != 0:
        raise Skipped(f"{command[0]} takes root")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"{' '.join(command[:2])}: {done.stderr.strip() or done.returncode}")
