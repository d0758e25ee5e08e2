"""Generation in a second process on the CPU, whose copy of the model gets the trainer's weights at each `sync`."""

from __future__ import annotations

import multiprocessing
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import torch

from strop.common.errors import InputError, NotFinite
from strop.common.heartbeat import beat
from strop.common.processes import without_main
from strop.model.policy import Policy
from strop.rollout.engine import (
    EngineLost,
    OnFinished,
    OnToken,
    Pauses,
    Request,
    Rollout,
    SamplingParams,
    as_requests,
)
from strop.rollout.shared_weights import Memory
from strop.rollout.spawned import Work, begin
from strop.rollout.worker import Job, serve

START_SECONDS = 1800.0
"""In which the process has to have its model."""
PATIENCE_SECONDS = 600.0
"""Without a sign of life while it generates, after which it counts as hanging."""
GRACE_SECONDS = 10.0
NAME = "strop sampler"


class WorkerEngine:
    """An `Engine` whose answers come from the weights of the last `sync`, whatever the trainer does meanwhile.

    ``policy``: the trainer's, as `Weights` left it; its trained weights are written into memory that both processes
    see, which is the worker's own copy of them. ``make``, importable by name, gives the process the same model with the
    frozen weights and adapters that it began with. The process gets ``threads`` of this one's threads (by default
    half), and this one keeps the others until `close`; both have at least one. Where a process dies, or gives no sign
    of life for ``patience`` seconds, EngineLost is raised, from then on. It ends with this process, however that ends.
    """

    def __init__(
        self,
        policy: Policy,
        make: Callable[[], Policy],
        stop_ids: frozenset[int],
        *,
        threads: int | None = None,
        max_rows: int = 128,
        cache_gb: float | None = 4.0,
        patience: float = PATIENCE_SECONDS,
    ):
        self.stop_ids, self._patience = stop_ids, patience
        beside = (policy.value_head, policy.score_head, policy.critic)  # what samples needs none of them
        heads = {id(p) for part in beside if part is not None for p in part.parameters()}
        named = policy.named_parameters()
        self._trained = {name: p for name, p in named if p.requires_grad and id(p) not in heads}
        memory = Memory(self._trained)
        self._shared = memory.tensors()
        self._window: int | None = None
        self._lost: str | None = None  # why there will be no answers any more
        self._all_threads = torch.get_num_threads()
        self.threads = max(1, min(threads or self._all_threads // 2, self._all_threads - 1))
        precision = torch.get_float32_matmul_precision()
        job = Job(make, memory, stop_ids, self.threads, precision, max_rows, cache_gb)
        context = multiprocessing.get_context("spawn")  # empty, instead of a copy of a process that holds a model
        self._pipe, theirs = context.Pipe()
        _end_waits_after(patience, self._pipe)
        self._process = context.Process(target=begin, args=(Work(serve, theirs, job),), daemon=True, name=NAME)
        try:
            with without_main():
                self._process.start()
        finally:
            theirs.close()
            memory.close()
        torch.set_num_threads(max(1, self._all_threads - self.threads))

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None  # it was started
        return self._process.pid

    @property
    def window(self) -> int:
        return self._ready()

    @torch.no_grad()
    def sync(self) -> None:
        """The worker's weights become the trainer's of now. Raises EngineLost."""
        self._ready()
        for name, shared in self._shared.items():
            shared.copy_(self._trained[name].data)
        self._tell("sync", None)

    def release(self) -> None:
        if self._lost is None:
            with suppress(EngineLost):  # that is told when answers are wanted again
                self._tell("release", None)

    def generate(
        self,
        requests: Sequence[Request | Sequence[int]],
        params: SamplingParams | None = None,
        on_token: OnToken | None = None,
        on_finished: OnFinished | None = None,
    ) -> list[Rollout]:
        """See ``Engine``; ``on_finished`` is called when all are there, and ``on_token`` with an answer's tokens up to
        each of ``on_token.may_end``, as that is drawn. Raises EngineLost, InputError as `TorchEngine.generate`, and
        ValueError for an ``on_token`` that does not say where it may end an answer."""
        if on_token is not None and not isinstance(on_token, Pauses):
            raise ValueError("an engine in another process asks after some tokens only; give it Pauses for on_token.")
        requests = as_requests(requests, params)
        self._ready()
        self._tell("generate", (requests, on_token.may_end if on_token else frozenset()))
        rollouts = self._answer(self._patience, on_token)
        if on_finished is not None:
            for index, one in enumerate(rollouts):
                on_finished(index, one)
        return rollouts

    def close(self) -> None:
        """End the process; this one has all threads again."""
        self._end("it was closed")
        torch.set_num_threads(self._all_threads)

    def __enter__(self) -> WorkerEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ready(self) -> int:
        """The window of its model, once it has that."""
        if self._lost is not None:
            raise EngineLost(self._lost)
        if self._window is None:
            window: int = self._answer(START_SECONDS)
            self._window = window
        return self._window

    def _tell(self, what: str, given: Any) -> None:
        try:
            self._pipe.send((what, given))
        except OSError:
            raise self._end(self._how_it_ended()) from None

    def _answer(self, patience: float, on_token: OnToken | None = None) -> Any:
        """What the process says next, but for signs of life, and for questions that ``on_token`` answers."""
        try:
            kind = "alive"
            while kind in ("alive", "ends"):
                if not self._pipe.poll(patience):
                    raise self._end(f"it gave no sign of life for {patience:g} seconds; see what else the machine does")
                kind, value = self._pipe.recv()
                beat("a message of the process that samples")
                if kind == "ends" and on_token is not None:
                    index, tokens = value
                    self._pipe.send(bool([on_token(index, token) for token in tokens][-1]))
        except (EOFError, OSError):
            raise self._end(self._how_it_ended()) from None
        except BaseException:
            self._end("it was interrupted")  # what is still to come would be taken for the next answer
            raise
        if kind == "refused":
            raise InputError(value)
        if kind == "not finite":
            raise NotFinite(value)
        if kind == "fault":
            raise self._end(value)
        return value

    def _how_it_ended(self) -> str:
        self._process.join(GRACE_SECONDS)
        code = self._process.exitcode
        if code is None:
            return f"it took nothing, or went silent in the middle of a word, for {self._patience:g} seconds"
        if code < 0:
            return f"it was killed by signal {-code}; if memory is short, lower compute.cache_gb"
        return f"it ended by itself (exit code {code})"

    def _end(self, why: str) -> EngineLost:
        """End the process, for good; the first reason is the one that is told."""
        self._lost = self._lost or f"the sampling process is lost: {why}, or set rollout.staleness to 0."
        self._process.kill()
        self._process.join(GRACE_SECONDS)
        return EngineLost(self._lost)


def _end_waits_after(seconds: float, pipe: Connection) -> None:
    """Of what is written where nobody reads, and of what is read where the rest does not come; then OSError."""
    with socket.socket(fileno=os.dup(pipe.fileno())) as same:
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            same.setsockopt(socket.SOL_SOCKET, option, limit)
