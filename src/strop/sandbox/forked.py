"""Programs of one process, forked by an interpreter that waits in a sandbox of sandlock's: a start costs 2 ms, not 20.

The server never executes or reads a program (see ``_fork_server.py``). Every thread has one of its own, which has one
child at a time and is used again only when a run went from start to end as it should.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import struct
import tempfile
import threading
import weakref
from importlib import resources
from typing import IO

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
        self.owner, self.runs = os.getpid(), 0
        self.folder = tempfile.mkdtemp(prefix="strop-programs-")
        try:
            self._process = SandlockProcess([*python_command(), _source()], self.folder, 2)
        except BaseException:
            os.rmdir(self.folder)
            raise
        # Also when its thread or this process ends.
        self.close = weakref.finalize(self, _close, self._process, self.folder, self.owner)

    def fork(self, name: str) -> tuple[int, list[IO[bytes]]]:
        """(process number, far ends of its input, output and errors) of a child in the folder of that name."""
        self.runs += 1
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
        return pid, files

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


def _close(process: SandlockProcess, folder: str, owner: int) -> None:
    if os.getpid() == owner:
        process.close()
        shutil.rmtree(folder, ignore_errors=True)
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
        server, _idle.server = getattr(_idle, "server", None), None
        if server is None or server.owner != os.getpid():
            server = _Server()
        self._server: _Server | None = server
        self._ended: Ended | None = None
        name = secrets.token_hex(4)
        self._folder = os.path.join(server.folder, name)
        try:
            os.mkdir(self._folder, 0o555)
            pid, files = server.fork(name)
            super().__init__(pid, *files)
        except BaseException:
            server.close()
            raise

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
        server, self._server = self._server, None
        if server is None:
            return
        self._hang_up()
        whole = self._ended is not None and server.close.alive  # or it was broken off: the child ends with the server
        if whole and server.runs < _MOST_RUNS and getattr(_idle, "server", None) is None:
            os.rmdir(self._folder)
            _idle.server = server
        else:
            server.close()
