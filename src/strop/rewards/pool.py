"""Small worker processes for judging.

Starting a sandbox forks the process that asks for it, and forking one that holds a model costs its page tables: with
2.8 GB resident, threads judged 53 executions a second and workers 88. Workers are started once and kept.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


@functools.cache
def _pool(workers: int) -> ProcessPoolExecutor:
    # "spawn": the worker begins empty instead of as a copy of this process.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_leave_signals_to_parent)


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def map_in_workers(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int | None = None
) -> list[Result]:
    """``[function(t) for t in tasks]`` in ``workers`` processes (default: the CPUs this process may use), in order.

    ``function`` must be importable by name, tasks and results picklable. What a worker raises is raised here.
    """
    if not tasks:
        return []
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return list(_pool(workers or available).map(function, tasks))
