"""Count the threads of a program, which neither sandlock nor, for root, a limit of the kernel does.

Every thread takes one of the machine's process numbers (often 32,768): a program that took them all would stop others.
"""

from __future__ import annotations

from pathlib import Path


def count_threads(pid: int) -> int:
    """Threads of the process and of those that its first thread forked, and so on. 0 when it is gone."""
    open_pids, total = [pid], 0
    while open_pids:
        one = open_pids.pop()
        try:
            total += int(Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[17])
            children = Path(f"/proc/{one}/task/{one}/children").read_text()
        except OSError:  # gone, or a kernel without lists of children
            continue
        open_pids += map(int, children.split())
    return total
