"""The process that samples beside the trainer: a copy of the model, and an engine on it."""

from __future__ import annotations

import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch.autograd.graph import increment_version

from strop.common.errors import InputError, NotFinite
from strop.model.memory import keep_freed_memory
from strop.model.policy import Policy
from strop.rollout.engine import Request
from strop.rollout.loaded import load
from strop.rollout.shared_weights import Memory, adopt
from strop.rollout.torch_engine import TorchEngine

SIGN_OF_LIFE = 1.0
"""Seconds between two signs of life while it generates."""


@dataclass(frozen=True)
class Job:
    """What the process is given at its start: ``make`` gives the policy, ``memory`` holds its trained weights,
    ``precision`` is torch's of float32 products."""

    make: Callable[[], Policy]
    memory: Memory
    stop_ids: frozenset[int]
    threads: int
    precision: str
    max_rows: int
    cache_gb: float | None


def loaded_policy(*given: Any, **how: Any) -> Policy:
    """Of `strop.rollout.loaded.load`, whose arguments these are: what a ``make`` can be made of."""
    return load(*given, **how).policy


def serve(pipe: Connection, job: Job) -> None:
    """Answer what comes through the pipe until it is closed: ``("generate", (requests, may_end))`` with
    ``("done", rollouts)``; ``("sync", None)``, the weights have changed; ``("release", None)``. Before that
    ``("ready", window)``.

    While it works it says ``("alive", None)``, and after a token of ``may_end`` it asks ``("ends", (index, the answer's
    tokens since it asked last))``, which is answered with whether the answer ends there. What it refuses is
    ``("refused", sentence)``, or ``("not finite", sentence)`` where the weights are at fault; any other error is
    ``("fault", text)``.
    """
    torch.set_num_threads(job.threads)
    torch.set_float32_matmul_precision(job.precision)
    keep_freed_memory()
    try:
        policy = job.make().eval()
        torch.set_num_threads(job.threads)  # what makes a policy may choose threads as if it were alone
        adopt(policy, job.memory.tensors(), policy.compute.dtype)
        engine = TorchEngine(policy, job.stop_ids, max_rows=job.max_rows, cache_gb=job.cache_gb)
    except Exception as error:  # noqa: BLE001 - the trainer says what it was
        return pipe.send(_told(error))
    pipe.send(("ready", engine.window))
    while True:
        try:
            what, given = pipe.recv()
        except EOFError:
            return None
        if what == "generate":
            requests, may_end = given
            pipe.send(_generate(engine, requests, may_end, pipe))
        else:
            if what == "sync":  # they were written from outside, which no version counter tells
                increment_version([p for p in policy.parameters() if not p.is_inference()])
            engine.sync()


def _generate(
    engine: TorchEngine, requests: Sequence[Request], may_end: frozenset[int], pipe: Connection
) -> tuple[str, Any]:
    last, fresh = time.monotonic(), defaultdict(list)

    def on_token(index: int, token: int) -> bool:
        nonlocal last
        if (now := time.monotonic()) - last > SIGN_OF_LIFE:
            last = now
            pipe.send(("alive", None))
        if not may_end:
            return False
        fresh[index].append(token)
        if token not in may_end:
            return False
        pipe.send(("ends", (index, fresh.pop(index))))
        return pipe.recv()

    try:
        return "done", engine.generate(requests, on_token=on_token)
    except Exception as error:  # noqa: BLE001 - the trainer says what it was
        return _told(error)


def _told(error: Exception) -> tuple[str, str]:
    if isinstance(error, NotFinite):
        return "not finite", str(error)
    if isinstance(error, InputError):
        return "refused", str(error)
    return "fault", "".join(traceback.format_exception_only(error)).strip()
