"""A run by two processes of torchrun, one of which is killed: all end, the cause is told, the same command goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from common.chaos_kills import SECONDS, Ended, left_over
from common.chaos_same import differences
from common.chaos_stages import NAME
from common.machine import ROOT

if TYPE_CHECKING:
    from chaos import Kills

TOLD = "ended without a word"


def rank_killed(kills: Kills, chance: random.Random) -> int:
    """Each of the two once, at a drawn time after the first checkpoint. The uninterrupted run has two ranks, too: their
    sums are rounded otherwise than those of one."""
    run, reference = kills.run, kills.run.with_name("reference-of-two")
    kills.fresh()
    kills.check(_torchrun(run, "uninterrupted.txt"), "uninterrupted, with two ranks")
    run.rename(reference)
    for rank in (1, 0):
        kills.fresh()
        folder, after = run / "runs" / NAME / kills.stage.stage / "checkpoints", 0.5 * chance.random()
        since: list[float] = []
        killed: list[int] = []

        def kill_one(rank=rank, folder=folder, after=after, since=since, killed=killed) -> None:
            if not since and any(folder.glob("step-*")):
                since.append(time.monotonic())
            if since and not killed and time.monotonic() - since[0] >= after:
                for pid in _ranks(run, rank):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

        when = f"rank {rank} killed {after:.1f} s after the first checkpoint"
        ended = _torchrun(run, "killed.txt", kill_one)
        if not killed:
            raise RuntimeError(f"the run ended ({ended.code}) before rank {rank} could be killed: {ended.said}")
        kills.whole(when)
        if ended.said.count(TOLD) != 1:
            kills.tell(when, {"file": "", "what": f"did not say once that it {TOLD}: {ended.said[-300:]}", "bytes": 0})
        kills.check(_torchrun(run, "again.txt"), f"{when}, then again")
        for one in differences(reference / "runs" / NAME, run / "runs" / NAME):
            kills.tell(f"{when}, then again", one)
    return 2


def _torchrun(folder: Path, log: str, meanwhile: Callable[[], None] = lambda: None) -> Ended:
    """`strop run` from ``folder`` by two ranks. ``meanwhile`` is called every 50 ms."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "-m",
        "strop",
        "run",
        "recipe.yaml",
    ]
    own = {**os.environ, "STROP_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    started, path = time.monotonic(), folder / log
    with path.open("w") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=own, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while process.poll() is None:
                if time.monotonic() - started > SECONDS:
                    raise TimeoutError(f"two ranks in {folder} did not end within {SECONDS:g} s: {path.read_text()}")
                meanwhile()
                time.sleep(0.05)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
    return Ended(process.returncode, path.read_text(errors="replace"), time.monotonic() - started)


def _ranks(folder: Path, rank: int) -> list[int]:
    """The process that has this rank (and not one that it has started)."""
    found = []
    for pid in left_over(folder):
        with suppress(OSError):
            place = Path(f"/proc/{pid}")
            environment = (place / "environ").read_bytes().split(b"\0")
            command = (place / "cmdline").read_bytes()
            if f"RANK={rank}".encode() in environment and b"strop" in command and b"spawn_main" not in command:
                found.append(pid)
    return found
