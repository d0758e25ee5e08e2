"""A user for each program, by which the kernel counts its threads.

The limit RLIMIT_NPROC counts a real user's threads and does not hold for root. Where strop runs as root, a program's
real user becomes a number that nobody has (its rights stay those of root without capabilities, which own the files of
the interpreter), so the limit counts what this program has started and nothing else.
"""

from __future__ import annotations

import functools
import os
import secrets
from pathlib import Path

_LOWEST, _HIGHEST = 1 << 24, (1 << 31) - 2
_SETUID, _PTRACE = 7, 19  # capabilities: to change the user, and sandlock's to look into a process of another one


def own_user() -> int:
    """A user number that no other program has, or 0 where this process may not give one."""
    return secrets.randbelow(_HIGHEST - _LOWEST) + _LOWEST if _may_give() else 0


@functools.cache
def _may_give() -> bool:
    if os.geteuid() != 0:
        return False
    status = Path("/proc/self/status").read_text()
    have = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
    ranges = [list(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    mapped = any(first <= _LOWEST and first + count > _HIGHEST for first, _, count in ranges)
    return mapped and all(have >> one & 1 for one in (_SETUID, _PTRACE))
