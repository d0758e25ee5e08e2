"""Run one untrusted Python program and say how it ended.

Covered: the network and sockets of all kinds; every file but the standard library's; writing of any kind, but to
/dev/null (its folder is its own, empty, and read-only); the environment, which is empty; every system call that is not
listed in `strop.sandbox.syscalls`; capabilities; signals to, and memory of, other processes; children beyond
``Limits.processes`` (with the default of 1, none); threads; CPU time, also what the sandbox itself spends on a
program's system calls, and wall time; address space; open files; output.
Every process that it started has been killed when `run_python` returns (nearly always it could start none, and is the
fork of an interpreter that waits in the sandbox: see `strop.sandbox.forked`), and the caller never holds more than
``Limits.output_bytes`` of its output and a little.

Not covered: where sandlock confines, names, sizes and dates of files anywhere can be asked for (``os.stat``), those
behind open descriptors of a program's parent too (/proc/PID/fd), which is a server that has pipes alone, or the tests'
process; and where a link to a folder leads (``os.chdir``, where the folder may be entered). Contents cannot, nor those
of links (``os.readlink`` fails). Memory and CPU are counted per process, so a program allowed ``n`` processes can use
``n`` times as much, and those that it forks stay zombies until PID 1 reaps them. Threads are counted by the kernel
where strop is root, and otherwise twenty times a second, so a program can have more of them for a moment. The kernel's
own memory behind pipes is limited for ordinary users, not for root. Bugs of the kernel; timing channels. The program
has the standard library only, may not write files (``tempfile`` fails), and of its limits it may set the stack's alone.
Within `unsafe_local` none of this holds but the limits.
"""

from __future__ import annotations

import contextlib
import functools
import marshal
import os
import resource
import select
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from strop.common.errors import InputError
from strop.common.scratch import scratch_folder

from . import keeper
from .choice import confinement, is_forked, start
from .processes import Ended, Process, look_at_tree
from .rules import python_command
from .syscalls import seccomp_filter, syscall_number
from .users import own_user

Status = Literal[
    "ok", "nonzero_exit", "signal", "timeout", "memory_limit", "output_limit", "thread_limit", "process_limit"
]

MAX_SOURCE_BYTES = 256_000
_MOST_SIGNALS = 1024
_STDERR_TAIL = 4096
_CHUNK = 65536

_LOOK_EVERY = 0.05  # seconds, at the processes and threads of a program that runs longer than that
_MOST_SUPERVISED = 0.5
"""Of ``Limits.cpu_seconds``, for what sandlock does in this process when a program opens files and the like: the kernel
holds that against nobody, and programs in a loop of it took most of a core."""

_SPAWN_PAUSES = (0.02, 0.1, 0.3, 1.0, 2.0)
_MORE_PAUSES = (4.0, 8.0, 16.0, 16.0, 16.0)
"""Seconds between tries to start a process: other programs may fill the system's table for as long as they run. The
longer ones only where a start has succeeded before."""
_has_started = threading.Event()


class Limits(BaseModel):
    """How much one run may use; the defaults suit small contest programs."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    cpu_seconds: int = Field(3, ge=1, description="CPU time of each process, in seconds.")
    wall_seconds: float = Field(10.0, gt=0, description="Time from start to end as a clock sees it, in seconds.")
    memory_mb: int = Field(512, ge=64, description="Address space of each process, in MiB (about 20 go to Python).")
    processes: int = Field(1, ge=1, le=64, description="Processes alive at once, the program's own included.")
    threads: int = Field(512, ge=1, description="Threads alive at once, of all its processes together.")
    open_files: int = Field(64, ge=16, description="Open files of each process.")
    output_bytes: int = Field(1_000_000, ge=1, description="Bytes that each of stdout and stderr may hold.")


@dataclass(frozen=True)
class Execution:
    """How a program ended. ``ok`` says only that it exited with status 0, which is never a proof of a right answer."""

    status: Status
    stdout: str  # invalid UTF-8 as \\xNN; cut at the limit when the status is output_limit
    stdout_bytes: bytes  # the same as the program wrote it: what is compared, since \\xNN may also be text
    stderr: str  # the last 4 KiB
    exit_code: int | None  # None when a signal ended it
    signal: int | None  # the signal that ended it; None when it exited
    wall_seconds: float
    cpu_seconds: float  # of the main process
    detail: str  # one line for people; empty when ok


def run_python(source: str, stdin: str | bytes = "", limits: Limits | None = None) -> Execution:
    """Run ``source`` as a main program with ``stdin`` as its input (text goes as UTF-8). Thread-safe.

    Raises InputError when this machine cannot confine programs or the source is longer than 256,000 bytes. What the
    program does never raises; it is in the Execution.
    """
    limits = limits or Limits()
    program = source.encode("utf-8", "surrogatepass")
    if len(program) > MAX_SOURCE_BYTES:
        raise InputError(f"the program has {len(program)} bytes; at most {MAX_SOURCE_BYTES} can be run")
    given = stdin if isinstance(stdin, bytes) else stdin.encode("utf-8", "surrogatepass")
    own_folder = contextlib.nullcontext("") if is_forked(limits.processes) else _own_folder()
    with own_folder as folder, _started(limits, folder) as process:
        started = time.monotonic()
        conversation = _Conversation(process, framed((_head(limits, len(given)), program, given)), limits)
        stopped_by = conversation.run_until(started + limits.wall_seconds)
        if stopped_by:
            process.kill()
        ended = process.end()
        if not stopped_by:
            stopped_by = conversation.drain()
        seconds = time.monotonic() - started
    return _describe(conversation, ended, stopped_by, seconds, limits)


def framed(parts: Iterable[bytes]) -> bytes:
    """The parts one after the other, each with its length (4 bytes, big-endian) before it."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@functools.cache
def _launcher() -> str:
    return resources.files(__package__).joinpath("_launcher.py").read_text(encoding="utf-8")


@contextlib.contextmanager
def _own_folder() -> Iterator[str]:
    """An empty folder that nobody can write to, for the program alone."""
    with scratch_folder("strop-program-") as folder:
        folder.chmod(0o555)
        yield str(folder)


@contextlib.contextmanager
def _started(limits: Limits, folder: str) -> Iterator[Process]:
    process = _start(limits, folder)
    try:
        yield process
    finally:
        process.close()


def _start(limits: Limits, folder: str) -> Process:
    pauses = iter((*_SPAWN_PAUSES, *(_MORE_PAUSES if _has_started.is_set() else ())))
    while True:
        try:
            keeper.mark()  # it is there before the program is
            process = start([*python_command(), _launcher()], folder, limits.processes)
        except (RuntimeError, BlockingIOError) as error:
            if (pause := next(pauses, None)) is None:
                raise InputError(
                    f"the sandbox did not start a process ({error}): in a container, allow the seccomp and landlock "
                    "system calls; elsewhere, raise the limits on processes and open files"
                ) from error
            time.sleep(pause)
        else:
            _has_started.set()
            return process


def _head(limits: Limits, input_bytes: int) -> bytes:
    """What the launcher does before it reads the program: (limits of resources, the program's own user or 0, the
    number of the system call that installs a filter, the filter; none where programs are not confined)."""
    memory, by, mark = limits.memory_mb << 20, confinement(), keeper.mark()
    user = own_user() if by == "sandlock" else 0  # in a namespace of its own no other user is
    resources = [
        (resource.RLIMIT_AS, memory, memory),
        # One second between SIGXCPU, which a program can ignore, and SIGKILL, which it cannot.
        (resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1),
        (resource.RLIMIT_FSIZE, input_bytes, input_bytes),  # for its input, which becomes a file
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_SIGPENDING, _MOST_SIGNALS, _MOST_SIGNALS),  # timers count too; all are the kernel's memory
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        (resource.RLIMIT_NOFILE, limits.open_files, limits.open_files),
        (keeper.RLIMIT_LOCKS, mark, mark),
    ]
    if user:
        resources.append((resource.RLIMIT_NPROC, limits.threads, limits.threads))
    installed: tuple[int | None, bytes] = 0, b""
    if by != "none":
        installed = syscall_number("seccomp"), seccomp_filter(alone=limits.processes == 1)
    return marshal.dumps((resources, user, *installed))


class _Conversation:
    """Feeds stdin and collects bounded output without ever blocking on the program."""

    def __init__(self, process: Process, data: bytes, limits: Limits):
        self.stdout, self.stderr = bytearray(), bytearray()
        self.cpu_seconds = 0.0  # as last seen, of the process that used most
        self._process, self._pidfd, self._limits = process, process.pidfd, limits
        self._supervised = process.supervised()  # for programs before it
        self.too_long = f"ran longer than {limits.wall_seconds:g} s"
        self._unsent = memoryview(data)
        self._pipes = [stream.fileno() for stream in (process.stdin, process.stdout, process.stderr)]
        self._received = dict.fromkeys(self._pipes, 0)  # bytes
        self._poll = select.poll()
        self._poll.register(self._pidfd, select.POLLIN)
        for pipe, event in zip(self._pipes, (select.POLLOUT, select.POLLIN, select.POLLIN), strict=True):
            os.set_blocking(pipe, False)
            self._poll.register(pipe, event)

    def run_until(self, deadline: float) -> Status | None:
        """Until the main process ends (None), or the name of the limit that it hit."""
        look = time.monotonic() + _LOOK_EVERY
        while (now := time.monotonic()) < deadline:
            if now >= look:
                look = now + _LOOK_EVERY
                if (over := self._look()) is not None:
                    return over
            for fd, _ in self._poll.poll((min(deadline, look) - now) * 1000 + 1):
                if fd == self._pidfd:
                    return None
                if fd == self._pipes[0]:
                    self._send()
                elif not self._receive(fd):
                    self._poll.unregister(fd)
            if self._over_limit():
                return "output_limit"
        return "timeout"

    def _look(self) -> Status | None:
        helpers = self._process.helpers
        seen = look_at_tree(self._process.pid, self._limits.threads + helpers)
        self.cpu_seconds = max(self.cpu_seconds, seen.cpu_seconds)
        most = self._limits.cpu_seconds * _MOST_SUPERVISED
        if self._process.supervised() - self._supervised > most:
            self.too_long = f"needed more than {most:g} s of CPU time for the sandbox's answers to its system calls"
            return "timeout"
        if seen.threads > self._limits.threads + helpers:
            return "thread_limit"
        return "process_limit" if seen.processes > self._limits.processes + helpers else None

    def drain(self) -> Status | None:
        """Read what is left in the pipes once every writer is dead."""
        for pipe in self._pipes[1:]:
            with contextlib.suppress(BlockingIOError):  # empty, though another thread's fork still holds its far end
                while not self._over_limit() and self._receive(pipe):
                    pass
        return "output_limit" if self._over_limit() else None

    def _over_limit(self) -> bool:
        return max(self._received.values()) > self._limits.output_bytes

    def _send(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._pipes[0], self._unsent[:_CHUNK]) :]
        except BrokenPipeError:
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._poll.unregister(self._pipes[0])
            self._process.stdin.close()

    def _receive(self, pipe: int) -> bool:
        """False at its end."""
        chunk = os.read(pipe, _CHUNK)
        self._received[pipe] += len(chunk)
        if pipe == self._pipes[1]:
            self.stdout += chunk
        else:
            self.stderr = (self.stderr + chunk)[-_STDERR_TAIL:]
        return bool(chunk)


def _describe(
    conversation: _Conversation, ended: Ended, stopped_by: Status | None, wall_seconds: float, limits: Limits
) -> Execution:
    stderr = conversation.stderr.decode("utf-8", "backslashreplace")
    cpu_seconds = conversation.cpu_seconds if ended.cpu_seconds is None else ended.cpu_seconds
    # Looks come late on a busy machine, and the kernel's count of ticks runs ahead of the time that they see.
    unseen = max(4 * _LOOK_EVERY, limits.cpu_seconds / 2)
    ticked = conversation.cpu_seconds + unseen if ended.ticked is None else ended.ticked
    stopped: dict[Status, str] = {
        "timeout": conversation.too_long,
        "thread_limit": f"started more than {limits.threads} threads",
        "process_limit": f"started more than {limits.processes} processes",
        "output_limit": f"printed more than {limits.output_bytes} bytes",
    }
    status: Status
    if stopped_by:
        status, detail = stopped_by, stopped[stopped_by]
    elif ended.exit_code == 0:
        status, detail = "ok", ""
    elif ended.exit_code is not None:
        last_line = stderr.rstrip().rpartition("\n")[2]
        status, detail = "nonzero_exit", last_line[:200] or f"exited with status {ended.exit_code}"
        if last_line.startswith("MemoryError"):
            status, detail = "memory_limit", f"needed more than {limits.memory_mb} MiB of memory"
    elif ended.signal in (signal.SIGXCPU, signal.SIGKILL) and ticked >= limits.cpu_seconds:
        status, detail = "timeout", f"used more than {limits.cpu_seconds} s of CPU time"
    else:
        known: dict[int | None, str] = {one.value: one.name for one in signal.Signals}
        status, detail = "signal", f"ended by signal {known.get(ended.signal, ended.signal)}"
    stdout = bytes(conversation.stdout[: limits.output_bytes])
    return Execution(
        status=status,
        stdout=stdout.decode("utf-8", "backslashreplace"),
        stdout_bytes=stdout,
        stderr=stderr,
        exit_code=ended.exit_code,
        signal=ended.signal,
        wall_seconds=wall_seconds,
        cpu_seconds=cpu_seconds,
        detail=detail,
    )
