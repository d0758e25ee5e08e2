"""One run by the processes (ranks) that torchrun started: they join, one speaks, and where one fails all leave.

The cause of a failure is told once. A rank that fails claims the word through the store of torchrun's rendezvous, and
the others leave without one. A thread of each rank looks after that, since a rank that waits for one that is gone
would wait until a time limit; and it looks whether the other processes of this machine are there, since one that was
killed tells nobody.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist

from strop.common.errors import Elsewhere, Halted, InputError, Interrupted
from strop.train.world import World

T = TypeVar("T")

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process that it starts."""
TIMEOUT = timedelta(hours=2)
"""How long a rank waits for the others, as while the first prepares data. One that fails is noticed at once."""
LOOK_SECONDS, ASK_SECONDS = 0.1, 0.5
"""Between two looks at the processes of this machine, and between two questions to the store."""
PATIENCE_SECONDS, GRACE_SECONDS = 3.0, 5.0
"""How long a rank whose connection broke waits for another to tell why; and how long one may take to leave."""
_CONNECTION = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe", re.IGNORECASE)


class Place(NamedTuple):
    """Where this process stands among all, and among those of its machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def place() -> Place:
    """As torchrun's variables say. Raises InputError where some of them are missing."""
    found = {name: os.environ.get(name, "") for name in VARIABLES}
    if missing := [name for name, value in found.items() if not value]:
        raise InputError(
            f"WORLD_SIZE is set and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not: several processes "
            "are started by `torchrun --nproc-per-node N -m strop …`; for a single one unset WORLD_SIZE."
        )
    try:
        return Place(*(int(found[name]) for name in VARIABLES[:4]))
    except ValueError:
        told = ", ".join(f"{name}={found[name]}" for name in VARIABLES[:4])
        raise InputError(f"{told}: these are numbers when torchrun starts the processes; start them so.") from None


def together(run: Callable[[], T]) -> T:
    """``run()`` on every rank, joined with the others before and parted from them after.

    Raises what it raises on the rank that has the word, and Elsewhere on the others.
    """
    here = place()
    if here.size == 1:
        return run()
    store = _joined(here)
    watch = Watch(store, here)
    signal.signal(signal.SIGTERM, _stop)
    try:
        if here.rank:
            warnings.simplefilter("ignore")  # the first rank's are the same
        result = run()
        watch.stop()
        dist.barrier()
    except BaseException as error:  # noqa: BLE001 (it is raised, here or on another rank)
        watch.leave(error)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    dist.destroy_process_group()
    return result


def _stop(signum: int, frame: Any) -> None:
    """torchrun ends the others as soon as one is gone; they leave by themselves, so that the cause is told."""
    raise KeyboardInterrupt


def _joined(here: Place) -> dist.Store:
    """The store that all ranks see, after they are one group. Raises InputError where that cannot be."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    backend = "gloo"
    if accelerator is not None and accelerator.type == "cuda":
        if here.local_size > (count := torch.accelerator.device_count()):
            raise InputError(
                f"torchrun started {here.local_size} processes on this machine, which has {count} devices; give it "
                f"--nproc-per-node {count}, or set CUDA_VISIBLE_DEVICES to nothing to compute on the CPU."
            )
        torch.accelerator.set_device_index(here.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    store, rank, size = next(iter(dist.rendezvous("env://", here.rank, here.size, timeout=TIMEOUT)))
    dist.init_process_group(
        backend, store=dist.PrefixStore("strop/group", store), rank=rank, world_size=size, timeout=TIMEOUT
    )
    return dist.PrefixStore("strop/watch", store.clone())  # its own connection: the thread's calls must not wait


class Watch:
    """Looks after the other ranks from a thread, until `stop`; `leave` is for a rank that fails."""

    def __init__(self, store: dist.Store, here: Place):
        self._store, self._here, self._lock = store, here, threading.Lock()
        whole = World.current().gather((os.getpid(), _machine()))
        pid, machine = whole[here.rank]
        near = {other: rank for rank, (other, where) in enumerate(whole) if where == machine and other != pid}
        self._peers = near if machine else {}
        self._stopped = threading.Event()
        threading.Thread(target=self._look, daemon=True, name="strop ranks").start()

    def stop(self) -> None:
        """Everything is done: from here on a rank that is gone is one that has finished."""
        self._stopped.set()

    def leave(self, error: BaseException) -> None:
        """Raise ``error``, or what it comes of, where this rank is the first that fails; Elsewhere where it is not."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        broken = isinstance(error, dist.DistError)
        broken |= isinstance(error, RuntimeError) and bool(_CONNECTION.search(str(error)))
        if broken or isinstance(error, Interrupted | KeyboardInterrupt):  # another one's end may be the cause
            self._wait(PATIENCE_SECONDS if broken else ASK_SECONDS)
        first, code = self._claim(getattr(error, "exit_code", 1))
        self._stopped.set()
        if not first:
            raise Elsewhere(code) from error
        if broken:
            what = str(error).splitlines()[0]
            raise Halted(
                f"a process of this run cannot be reached any more ({what}); see the logs of its machine. The same "
                "command goes on from the newest checkpoint."
            ) from error
        if self._here.rank and not isinstance(error, Interrupted | InputError):
            print(f"strop: rank {self._here.rank} of {self._here.size} failed:", file=sys.stderr)
        raise error

    def _claim(self, code: int) -> tuple[bool, int]:
        """Whether this rank is the first that fails, and the exit code of the first one."""
        with self._lock, suppress(dist.DistError):
            if self._store.add("claims", 1) == 1:
                self._store.set("failed", json.dumps(code))
                return True, code
            self._store.wait(["failed"], timedelta(seconds=GRACE_SECONDS))
            return False, json.loads(self._store.get("failed"))
        return True, code  # the store is gone, and with it the machine that held it: each for itself

    def _failed(self) -> bool:
        with self._lock:
            return self._store.check(["failed"])

    def _wait(self, seconds: float) -> None:
        """Until some rank has told that it fails, at most so long."""
        end = time.monotonic() + seconds
        with suppress(dist.DistError):
            while not self._failed() and time.monotonic() < end:
                time.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        asked = 0.0
        while not self._stopped.wait(LOOK_SECONDS):
            gone = [pid for pid in self._peers if not _is_there(pid)]
            try:
                if gone and not self._stopped.is_set():
                    self._tell(gone[0])
                if not gone and time.monotonic() - asked < ASK_SECONDS:
                    continue
                asked = time.monotonic()
                if not gone and not self._failed():
                    continue
            except dist.DistError:  # the store is gone, and with it whoever held it
                pass
            if self._stopped.wait(GRACE_SECONDS):
                return  # the main thread leaves by itself
            for child in multiprocessing.active_children():
                child.kill()
            _, code = self._claim(1)
            os._exit(code)

    def _tell(self, pid: int) -> None:
        first, _ = self._claim(1)
        if first:
            print(
                f"strop: rank {self._peers[pid]} of {self._here.size} (process {pid}) ended without a word: it was "
                "killed, perhaps for memory; the others stop. The same command goes on from the newest checkpoint.",
                file=sys.stderr,
                flush=True,
            )


def _machine() -> str:
    """What processes share that see each other's numbers; empty where such numbers cannot be looked up."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _is_there(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
