"""A program's process as `run_python` sees it, and the tree of processes below it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, NamedTuple, Protocol

_TICK = os.sysconf("SC_CLK_TCK")


class Ended(NamedTuple):
    """How the program's main process ended."""

    exit_code: int | None  # None when a signal ended it
    signal: int | None
    cpu_seconds: float | None = None  # its own; None where it is only known from looks at the tree
    ticked: float | None = None  # the CPU time that the kernel holds against the limit


class Process(Protocol):
    """A started program."""

    pid: int  # the root of the tree
    pidfd: int  # becomes readable when the main process has ended
    helpers: int  # processes of the tree that are the sandbox's own
    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def kill(self) -> None:
        """Make the main process end."""

    def supervised(self) -> float:
        """CPU time, in seconds, that this process has spent so far on answering system calls of the sandbox."""

    def end(self) -> Ended:
        """Wait for the main process, and kill everything else that it started before this returns."""

    def close(self) -> None:
        """End what is left and close the pipes. May be called twice."""


class Piped:
    """The pipes of a process and a descriptor of it (pidfd), for those who implement `Process`."""

    helpers = 0

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]):
        self.pid, self.stdin, self.stdout, self.stderr = pid, stdin, stdout, stderr
        self.pidfd = os.pidfd_open(pid)

    def kill(self) -> None:
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def supervised(self) -> float:
        return 0.0

    def _hang_up(self) -> None:
        """Close the pipes and the descriptor. May be called twice."""
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class Seen(NamedTuple):
    """What a look at a tree of processes found."""

    processes: int
    threads: int
    cpu_seconds: float  # of the one that used most


def look_at_tree(root: int, most: int) -> Seen:
    """Processes and threads of the tree; stops where there are more than ``most`` threads. 0 when it is gone.

    Every thread takes one of the machine's process numbers (often 32,768): a program that took them all would stop
    others.
    """
    processes = threads = 0
    cpu = 0.0
    waiting = [root]
    while waiting and threads <= most:
        pid = waiting.pop()
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:  # gone
            continue
        processes += stat[0] not in "ZX"
        threads += len(tasks)
        cpu = max(cpu, (int(stat[11]) + int(stat[12])) / _TICK)
        for task in tasks[: most + 1]:
            with contextlib.suppress(OSError):  # gone, or a kernel without lists of children
                waiting += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return Seen(processes, threads, cpu)


class Plain(Piped):
    """A process started as any other, in a session of its own: of programs that are not confined."""

    def __init__(self, command: list[str], folder: str, environment: dict[str, str], pass_fds: tuple[int, ...] = ()):
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, cwd=folder, env=environment, pass_fds=pass_fds,
            start_new_session=True,
        )  # fmt: skip
        made = self._process
        super().__init__(made.pid, *filter(None, (made.stdin, made.stdout, made.stderr)))  # all three are pipes

    def end(self) -> Ended:
        os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)  # not reaped: its number stays its own
        cpu_seconds, ticked = clocks(self.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return ended_with(self._process.wait(), cpu_seconds, ticked)

    def close(self) -> None:
        if self._process.returncode is None:
            self.kill()
            self.end()
        self._hang_up()


def ended_with(code: int, cpu_seconds: float | None, ticked: float | None) -> Ended:
    """From an exit code as `subprocess` has it, where a signal's number is negative."""
    return Ended(code if code >= 0 else None, -code if code < 0 else None, cpu_seconds, ticked)


def clocks(pid: int) -> tuple[float, float]:
    """(CPU time, CPU time that the kernel holds against the limit) of a process that is not reaped, in seconds.

    Two clocks of another process: CPUCLOCK_SCHED, which is exact, and CPUCLOCK_PROF, which counts ticks and runs ahead
    where others take the machine's time.
    """
    return time.clock_gettime(~pid << 3 | 2), time.clock_gettime(~pid << 3)


def wait_until_gone(pidfd: int, seconds: float | None = None) -> bool:
    """Whether the process of a pidfd ended within that time; None waits for it, as for one that was killed."""
    return is_ready(pidfd, seconds)


def is_ready(descriptor: int, seconds: float | None) -> bool:
    """Whether it can be read from within that time, or has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else 1000 * seconds))
