"""Worker processes that end what takes too long: for rewards, which are anybody's code.

Other than the judge's pool (`strop.rewards.pool`), whose programs have time limits of their own in the sandbox, a
worker here is killed with all that it has started when its time is up. Nothing that happens in one is raised: it comes
back as `Failed`, in words. What runs there runs in a main thread, where a function may use signals.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from strop.common.errors import raised
from strop.common.processes import end_with_parent, without_main
from strop.sandbox import is_unsafe, set_unsafe

_START_SECONDS = 120.0  # for a machine with much else to do
_LENGTH = struct.Struct("<Q")


class Failed(NamedTuple):
    """Why there is no result."""

    why: str


class TimedWorkers:
    """``count`` processes, started when they are first needed and kept; daemons, so they end with this process.

    What they run may start programs (``subprocess``) but no further ``multiprocessing`` processes.
    """

    def __init__(self, count: int = 1):
        self.count = count
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for _ in range(count):
            self._idle.put(_Worker())

    def map(self, function: Callable[[Any], Any], arguments: Sequence[Any], seconds: float) -> list[Any]:
        """``[function(a) for a in arguments]`` in order, each within ``seconds``, or `Failed`.

        ``function`` must be importable by name; arguments and results are pickled.
        """
        with ThreadPoolExecutor(self.count) as threads:
            return list(threads.map(lambda argument: self._call(function, argument, seconds), arguments))

    def close(self) -> None:
        """End the processes; they are started again when there is something to do."""
        for _ in range(self.count):
            worker = self._idle.get()
            worker.end()
            self._idle.put(worker)

    def _call(self, function: Callable[[Any], Any], argument: Any, seconds: float) -> Any:
        worker = self._idle.get()
        try:
            return worker.call(function, argument, seconds)
        finally:
            self._idle.put(worker)


class _Worker:
    def __init__(self):
        self._running: tuple[multiprocessing.process.BaseProcess, socket.socket] | None = None

    def call(self, function: Callable[[Any], Any], argument: Any, seconds: float) -> Any:
        try:
            _, ours = self._running or self._start()
            end = time.monotonic() + seconds
            _send(ours, pickle.dumps((function, argument)), end)
            return pickle.loads(_receive(ours, end))
        except TimeoutError:
            self.end()
            return Failed(f"took longer than {seconds:g} s")
        except (EOFError, OSError) as error:
            if self._running is None:
                return Failed(f"could not be started ({error})")
            process, _ = self._running
            process.join(1)
            code = process.exitcode
            self.end()
            return Failed(f"ended its process (exit code {code})")
        except BaseException:
            self.end()  # an answer that is still to come would be taken for the next one's
            raise

    def _start(self) -> tuple[multiprocessing.process.BaseProcess, socket.socket]:
        context = multiprocessing.get_context("spawn")  # empty, instead of a copy of a process that holds a model
        ours, theirs = socket.socketpair()
        process = context.Process(target=_serve, args=(theirs, is_unsafe()), daemon=True)
        with theirs, without_main():
            process.start()
        self._running = process, ours
        try:
            _receive(ours, time.monotonic() + _START_SECONDS)
        except TimeoutError as error:
            raise OSError("did not start") from error
        return self._running

    def end(self) -> None:
        if self._running is None:
            return
        process, ours = self._running
        assert process.pid is not None  # it was started
        with contextlib.suppress(OSError):  # it is gone, or has not become a group yet
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        ours.close()
        self._running = None


def _send(to: socket.socket, message: bytes, end: float | None = None) -> None:
    """Its length and the message. Raises TimeoutError at ``end`` (`time.monotonic`), also where nobody reads."""
    to.settimeout(_left(end))
    to.sendall(_LENGTH.pack(len(message)) + message)


def _receive(of: socket.socket, end: float | None = None) -> bytes:
    """A message. Raises EOFError where the other side has ended, TimeoutError at ``end``."""

    def exactly(count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            of.settimeout(_left(end))
            part = of.recv(min(count - len(got), 1 << 20))
            if not part:
                raise EOFError
            got += part
        return bytes(got)

    [length] = _LENGTH.unpack(exactly(_LENGTH.size))
    return exactly(length)


def _left(end: float | None) -> float | None:
    """Seconds, never 0: that would be no waiting at all."""
    return None if end is None else max(end - time.monotonic(), 1e-3)


def _serve(parent: socket.socket, unsafe: bool) -> None:
    set_unsafe(unsafe)
    os.setsid()  # a group of its own: what it starts ends with it, and Ctrl-C is the parent's to answer
    end_with_parent(group=True)
    _send(parent, b"ready")
    while True:
        try:
            work = _receive(parent)
        except EOFError:  # the parent has ended
            return
        try:
            function, argument = pickle.loads(work)
            answer = pickle.dumps(function(argument))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - anybody's code may raise anything; it is told as it is
            answer = pickle.dumps(Failed(f"raised {raised(error)}"))
        _send(parent, answer)
