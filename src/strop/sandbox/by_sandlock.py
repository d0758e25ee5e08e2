"""Programs confined by sandlock: Landlock for files, signals and abstract sockets, seccomp, a supervisor.

Landlock enforces what is readable on real paths, whatever a program does with links or ``..``; the supervisor adds the
exceptions beneath it, counts processes, and kills what a program leaves behind.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Sequence

from .processes import Ended, Piped, clocks
from .rules import environment, visible

_starting = threading.Lock()


class SandlockProcess(Piped):
    """See `processes.Process`."""

    def __init__(self, command: list[str], folder: str, processes: int, readable: Sequence[str] = ()):
        """In ``folder``, which is readable where no others are named. Raises RuntimeError where it does not start."""
        import sandlock

        seen = visible()
        sandbox = sandlock.Sandbox(
            fs_readable=(*seen.readable, *seen.devices, *(readable or (folder,))),
            fs_writable=seen.devices[:1],
            fs_denied=seen.hidden,
            cwd=folder,
            clean_env=True,
            env=environment(),
            max_processes=processes,
        )
        with _starting:  # so that what has been added is this sandbox's
            before = _threads()
            self._process = sandbox.popen(command, stdin=1, stdout=1, stderr=1)  # 1: a pipe
            self._supervisors = _threads() - before
        super().__init__(self._process.pid, self._process.stdin, self._process.stdout, self._process.stderr)

    def supervised(self) -> float:
        seconds = 0.0
        for thread in self._supervisors:
            with contextlib.suppress(OSError):  # it has ended
                seconds += time.clock_gettime(~thread << 3 | 6)  # CPUCLOCK_SCHED of a thread of this process
        return seconds

    def end(self) -> Ended:
        # Peek at the exit status before sandlock reaps the process: afterwards all kills look alike.
        ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)
        assert ended is not None  # it waits
        cpu_seconds, ticked = clocks(self.pid)
        self._process.wait()  # also kills what the program left behind
        exited = ended.si_code == os.CLD_EXITED
        return Ended(ended.si_status if exited else None, None if exited else ended.si_status, cpu_seconds, ticked)

    def close(self) -> None:
        self._process.__exit__(None, None, None)
        self._hang_up()


def _threads() -> set[int]:
    """Those of this process that supervise a sandbox."""
    found = set()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm") as name:
            if name.read().startswith("tokio-"):
                found.add(int(thread))
    return found


def _forget_lock() -> None:
    global _starting
    _starting = threading.Lock()  # another thread may have held it as this process was forked


os.register_at_fork(after_in_child=_forget_lock)


@functools.cache
def why_not() -> str | None:
    """Why sandlock cannot confine programs here, and what would mend that; None where the kernel has what it needs."""
    try:
        import sandlock
    except ImportError as error:
        return f"the sandlock package is missing: pip install 'sandlock>=0.9' ({error})"
    abi, needed = sandlock.landlock_abi_version(), sandlock.min_landlock_abi()
    if abi >= needed:
        return None
    have = "has Landlock switched off" if abi < 0 else f"has Landlock ABI {abi}, and {needed} is needed"
    return f"the running kernel {have}: boot Linux 6.12 or later, or add landlock to its lsm= list"
