"""Run one untrusted Python program and say how it ended.

Covered: the network and sockets of all kinds; every file but the standard library's; writing of any kind, but to
/dev/null; the environment; every system call that is not listed in `strop.sandbox.syscalls`; capabilities; signals to,
and memory of, other processes; children beyond ``Limits.processes`` (with the default of 1, none); thousands of
threads; CPU and wall time; address space; output. Every process that it started has been killed when `run_python`
returns, and the caller never holds more than ``Limits.output_bytes`` of its output and a little.

Not covered: names, sizes and dates of files anywhere can be asked for (``os.stat``), their contents cannot. Memory and
CPU are counted per process, so a program allowed ``n`` processes can use ``n`` times as much, and those that it forks
stay zombies until PID 1 reaps them. Threads are counted twenty times a second and only there where the first thread of
a process forks, so a program can have more of them for a moment. The kernel's own memory behind pipes is limited for
ordinary users, not for root. Bugs of the kernel; timing channels. The program has the standard library only, may not
write files (``tempfile`` fails), and of its limits it may set the stack's alone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import select
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from strop.common.errors import InputError

from .rules import PYTHON, sandbox_factory
from .syscalls import seccomp_filter, syscall_number
from .threads import count_threads

Status = Literal["ok", "nonzero_exit", "signal", "timeout", "memory_limit", "output_limit", "thread_limit"]

MAX_SOURCE_BYTES = 256_000
_STDERR_TAIL = 4096
_CHUNK = 65536

MOST_THREADS = 4096
_LOOK_EVERY = 0.05  # seconds, at the threads of a program that runs longer than that

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
    data = framed((seccomp_filter(), syscall_number("seccomp").to_bytes(4, "big"), program, given))
    process = _start(limits, [*python_command(), _launcher()])
    started = time.monotonic()
    with process:
        pidfd = os.pidfd_open(process.pid)
        try:
            _limit(process.pid, limits, len(given))
            conversation = _Conversation(process, pidfd, data, limits)
            stopped_by = conversation.run_until(started + limits.wall_seconds)
            if stopped_by:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            # Peek at the exit status before sandlock reaps the process: afterwards all kills look alike.
            ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
            # Two clocks of another process: CPUCLOCK_SCHED, which is exact, and CPUCLOCK_PROF, which counts ticks, runs
            # ahead where others take the machine's time, and is what the kernel holds against the limit.
            cpu_seconds, ticked = (time.clock_gettime(~process.pid << 3 | clock) for clock in (2, 0))
            process.wait()  # also kills what the program left behind
            if not stopped_by:
                stopped_by = conversation.drain()
        finally:
            os.close(pidfd)
    return _describe(conversation, ended, stopped_by, time.monotonic() - started, cpu_seconds, ticked, limits)


def framed(parts: Iterable[bytes]) -> bytes:
    """The parts one after the other, each with its length (4 bytes, big-endian) before it."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def python_command() -> list[str]:
    """How the interpreter is called, but for the source: without site, user's folder, bytecode files; in UTF-8."""
    return [PYTHON, "-s", "-S", "-P", "-B", "-X", "utf8", "-c"]


@functools.cache
def _launcher() -> str:
    return resources.files(__package__).joinpath("_launcher.py").read_text(encoding="utf-8")


def _start(limits: Limits, command: list[str]):
    for pause in (*_SPAWN_PAUSES, *(_MORE_PAUSES if _has_started.is_set() else ()), None):
        try:
            process = sandbox_factory()(limits.processes).popen(command, stdin=1, stdout=1, stderr=1)  # 1: a pipe
        except RuntimeError as error:
            if pause is None:
                raise InputError(
                    f"the sandbox did not start a process ({error}): in a container, allow the seccomp and landlock "
                    "system calls; elsewhere, raise the limits on processes and open files"
                ) from error
            time.sleep(pause)
        else:
            _has_started.set()
            return process


def _limit(pid: int, limits: Limits, input_bytes: int) -> None:
    memory = limits.memory_mb << 20
    resource.prlimit(pid, resource.RLIMIT_AS, (memory, memory))
    # One second between SIGXCPU, which a program can ignore, and SIGKILL, which it cannot.
    resource.prlimit(pid, resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (input_bytes, input_bytes))  # for its input, which becomes a file
    resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))


class _Conversation:
    """Feeds stdin and collects bounded output without ever blocking on the program."""

    def __init__(self, process, pidfd: int, data: bytes, limits: Limits):
        self.stdout, self.stderr = bytearray(), bytearray()
        self._process, self._pidfd, self._limit = process, pidfd, limits.output_bytes
        self._unsent = memoryview(data)
        self._pipes = [stream.fileno() for stream in (process.stdin, process.stdout, process.stderr)]
        self._received = dict.fromkeys(self._pipes, 0)  # bytes
        self._poll = select.poll()
        self._poll.register(pidfd, select.POLLIN)
        for pipe, event in zip(self._pipes, (select.POLLOUT, select.POLLIN, select.POLLIN), strict=True):
            os.set_blocking(pipe, False)
            self._poll.register(pipe, event)

    def run_until(self, deadline: float) -> Status | None:
        """Until the main process ends (None), or the name of the limit that it hit."""
        look = time.monotonic() + _LOOK_EVERY
        while (now := time.monotonic()) < deadline:
            if now >= look:
                look = now + _LOOK_EVERY
                if count_threads(self._process.pid) > MOST_THREADS:
                    return "thread_limit"
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

    def drain(self) -> Status | None:
        """Read what is left in the pipes once every writer is dead."""
        for pipe in self._pipes[1:]:
            with contextlib.suppress(BlockingIOError):  # empty, though another thread's fork still holds its far end
                while not self._over_limit() and self._receive(pipe):
                    pass
        return "output_limit" if self._over_limit() else None

    def _over_limit(self) -> bool:
        return max(self._received.values()) > self._limit

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


def _describe(conversation, ended, stopped_by, wall_seconds, cpu_seconds, ticked, limits: Limits) -> Execution:
    exited = ended.si_code == os.CLD_EXITED
    stderr = conversation.stderr.decode("utf-8", "backslashreplace")
    stopped: dict[Status, str] = {
        "timeout": f"ran longer than {limits.wall_seconds:g} s",
        "thread_limit": f"started more than {MOST_THREADS} threads",
        "output_limit": f"printed more than {limits.output_bytes} bytes",
    }
    status: Status
    if stopped_by:
        status, detail = stopped_by, stopped[stopped_by]
    elif exited and ended.si_status == 0:
        status, detail = "ok", ""
    elif exited:
        last_line = stderr.rstrip().rpartition("\n")[2]
        status, detail = "nonzero_exit", last_line[:200] or f"exited with status {ended.si_status}"
        if last_line.startswith("MemoryError"):
            status, detail = "memory_limit", f"needed more than {limits.memory_mb} MiB of memory"
    elif ended.si_status in (signal.SIGXCPU, signal.SIGKILL) and ticked >= limits.cpu_seconds:
        status, detail = "timeout", f"used more than {limits.cpu_seconds} s of CPU time"
    else:
        known = {one.value: one.name for one in signal.Signals}
        status, detail = "signal", f"ended by signal {known.get(ended.si_status, ended.si_status)}"
    stdout = bytes(conversation.stdout[: limits.output_bytes])
    return Execution(
        status=status,
        stdout=stdout.decode("utf-8", "backslashreplace"),
        stdout_bytes=stdout,
        stderr=stderr,
        exit_code=ended.si_status if exited else None,
        signal=None if exited else ended.si_status,
        wall_seconds=wall_seconds,
        cpu_seconds=cpu_seconds,
        detail=detail,
    )
