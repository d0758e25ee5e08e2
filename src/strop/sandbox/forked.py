"""Programs of one process, forked by an interpreter that waits in a sandbox of sandlock's: a start costs 2 ms, not 20.

The server never executes or reads a program (see ``_fork_server.py``). Every thread has one of its own, which has one
child at a time and is used again only when a run went from start to end as it should.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import struct
import threading
import weakref
from importlib import resources
from typing import IO

from strop.common.scratch import ScratchFolder

from .by_sandlock import SandlockProcess
from .processes import Ended, Piped, clocks, ended_with, wait_until_gone
from .rules import python_command

_ANSWER, _STATUS = struct.Struct("=4i"), struct.Struct("=i")
_idle = threading.local()
_MOST_RUNS = 50
"""Of one server: sandlock keeps a descriptor of every process that it has seen until the sandbox ends."""


class _Server:
    """Raises RuntimeError where it does not start, has ended or cannot fork."""

    def __init__(self) -> None:
        self.owner, own = os.getpid(), ScratchFolder("strop-programs-")
        self.folder = str(own.path)
        try:
            # One for each run, made beforehand: programs must not list the folder that they lie in.
            self._names = [secrets.token_hex(4) for _ in range(_MOST_RUNS)]
            folders = [os.path.join(self.folder, name) for name in self._names]
            for folder in folders:
                os.mkdir(folder, 0o555)
            self._process = SandlockProcess([*python_command(), _source()], self.folder, 2, folders)
        except BaseException:
            own.close()
            raise
        # Also when its thread or this process ends.
        self.close = weakref.finalize(self, _close, self._process, own, self.owner)

    @property
    def is_used_up(self) -> bool:
        return not self._names

    def fork(self) -> tuple[str, int, list[IO[bytes]]]:
        """(folder, process number, far ends of its input, output and errors) of a child."""
        name = self._names.pop()
        pid, *ends = _ANSWER.unpack(self._ask(name.encode(), _ANSWER.size))
        if pid < 0:
            raise RuntimeError(f"fork: {os.strerror(-pid)}")
        with contextlib.ExitStack() as opened:
            files = []
            for end, mode in zip(ends, ("wb", "rb", "rb"), strict=True):
                try:
                    file = open(f"/proc/{self._process.pid}/fd/{end}", mode, buffering=0)  # noqa: SIM115
                except OSError as error:
                    raise RuntimeError(f"a program's pipe could not be opened: {error}") from error
                files.append(opened.enter_context(file))
            opened.pop_all()
        return os.path.join(self.folder, name), pid, files

    def supervised(self) -> float:
        return self._process.supervised()

    def reap(self) -> int:
        """The status with which the child has ended, as `os.waitpid` has it."""
        return _STATUS.unpack(self._ask(b".", _STATUS.size))[0]

    def _ask(self, request: bytes, size: int) -> bytes:
        answer = b""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(request)
            while len(answer) < size and (part := self._process.stdout.read(size - len(answer))):
                answer += part
        if len(answer) < size:
            said = self._process.stderr.read().decode("utf-8", "replace").strip()
            raise RuntimeError(f"the sandbox's server ended: {said or self._process.end()}")
        return answer


def _close(process: SandlockProcess, folder: ScratchFolder, owner: int) -> None:
    if os.getpid() == owner:
        process.close()
        folder.close()
    else:  # a fork of the owner has let its copy go: the server lives on, and sandlock is not to end it
        process._process._handle = None
        process._hang_up()


@functools.cache
def _source() -> str:
    here = resources.files(__package__)
    return "".join(here.joinpath(name).read_text(encoding="utf-8") for name in ("_fork_server.py", "_launcher.py"))


class ForkedProcess(Piped):
    """See `processes.Process`. For programs whose seccomp filter lets them start no process."""

    def __init__(self) -> None:
        """Raises RuntimeError or OSError where it does not start."""
        server: _Server | None = getattr(_idle, "server", None)
        _idle.server = None
        if server is None or server.owner != os.getpid() or server.is_used_up:
            server = _Server()
        self._server, self._closed = server, False
        self._ended: Ended | None = None
        try:
            self._folder, pid, files = server.fork()
            super().__init__(pid, *files)
        except BaseException:
            server.close()
            raise

    def supervised(self) -> float:
        return self._server.supervised()

    def end(self) -> Ended:
        if self._ended is None:
            wait_until_gone(self.pidfd)
            try:
                cpu_seconds, ticked = clocks(self.pid)
                self._ended = ended_with(os.waitstatus_to_exitcode(self._server.reap()), cpu_seconds, ticked)
            except (RuntimeError, OSError):  # somebody has killed the server, and that its child
                self._server.close()
                self._ended = Ended(None, signal.SIGKILL)
        return self._ended

    def close(self) -> None:
        if self._closed:
            return
        server, self._closed = self._server, True
        self._hang_up()
        whole = self._ended is not None and server.close.alive  # or it was broken off: the child ends with the server
        if whole and getattr(_idle, "server", None) is None:
            os.rmdir(self._folder)
            _idle.server = server
        else:
            server.close()
