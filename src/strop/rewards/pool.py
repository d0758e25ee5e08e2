"""Small worker processes for judging.

Starting a sandbox forks the process that asks for it, and forking one that holds a model costs its page tables: with
2.8 GB resident, threads judged 53 executions a second and workers 88. Workers are started once and kept. One that dies
(killed, out of memory) is replaced, and what it was doing is done again. They end with the process that started them,
also where it is killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from strop.common.processes import end_with_parent, without_main
from strop.sandbox import is_unsafe, set_unsafe

Task = TypeVar("Task")
Result = TypeVar("Result")

_MOST_FAULTS_IN_A_ROW = 5
STUCK_SECONDS = 3600.0
"""Without a result of any worker for so long they count as dead; what they judge has limits of its own, far below."""
_pools: dict[tuple[int, bool], ProcessPoolExecutor] = {}
"""By the number of workers, and whether programs are not confined there."""


class JudgeFault(RuntimeError):
    """The judge itself failed: nothing can be said about what was to be judged."""


def _pool(kind: tuple[int, bool]) -> ProcessPoolExecutor:
    if kind not in _pools:
        # "spawn": a worker begins empty instead of as a copy of this process. Ctrl-C is the parent's to answer.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(kind[0], context, _begin, (kind[1],))
        # All workers at once, before a task can kill one: a worker that is started while its pool breaks is not told to
        # end, and the pool waits for it forever.
        pool._safe_to_dynamically_spawn_children = False  # type: ignore[attr-defined]
        with without_main():
            pool.submit(int)  # starts them
        _pools[kind] = pool
    return _pools[kind]


def _begin(unsafe: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()  # it holds the queue's other end itself, and would wait for work forever
    set_unsafe(unsafe)


def map_in_workers(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int | None = None,
    on_death: Callable[[Task], Result] | None = None,
) -> list[Result]:
    """``[function(t) for t in tasks]`` in ``workers`` processes (default: the CPUs this process may use), in order.

    ``function`` must be importable by name, tasks and results picklable. What a worker raises is raised here, as it is.
    When a worker dies, what may have been its task is tried again, alone; when that kills two workers more, the
    task's result is ``on_death(task)``. Workers that give no result for `STUCK_SECONDS` are killed.

    Raises:
        JudgeFault: a task killed two workers and there is no ``on_death``, or workers die whatever they are given.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    results: dict[int, Result] = {}
    left, faults = list(range(len(tasks))), 0
    while left:
        finished = _run(function, tasks, left, workers)
        faults = 0 if finished else faults
        results |= finished
        left = [index for index in left if index not in results]
        # Tasks are begun in order, so the dead worker's is among the first that are left, or its result was lost.
        for index in left[: 2 * workers]:
            # Twice: where the other worker was quick, this may be the first time that it is begun at all.
            again = _run(function, tasks, [index], workers) or _run(function, tasks, [index], workers)
            faults = 0 if again else faults + 1
            if not again:
                if on_death is None or faults >= _MOST_FAULTS_IN_A_ROW:
                    raise JudgeFault(f"the judge's worker process died twice on task {index + 1} of {len(tasks)}")
                again = {index: on_death(tasks[index])}
            results |= again
        left = [index for index in left if index not in results]
    return [results[index] for index in range(len(tasks))]


def _run(
    function: Callable[[Task], Result], tasks: Sequence[Task], indices: list[int], workers: int
) -> dict[int, Result]:
    """The results of the tasks named; where a worker died, of those that were finished before."""
    kind = workers, is_unsafe()
    pool = _pool(kind)
    futures: dict[int, Future[Result]] = {}
    try:
        for index in indices:
            futures[index] = _submit(pool, function, tasks[index])
        left = set(futures.values())
        while left:
            done, left = wait(left, STUCK_SECONDS, FIRST_COMPLETED)
            if not done:
                for process in list(pool._processes.values()):
                    process.kill()
                done = left  # of which the pool tells that they are broken
            for future in done:
                future.result()
    except BrokenProcessPool:
        if _pools.get(kind) is pool:  # another thread may have replaced it
            del _pools[kind]
        with contextlib.suppress(OSError):  # it may be closing its own pipes at this moment
            pool.shutdown()
    finally:
        for future in futures.values():
            future.cancel()
    ended = {index: future for index, future in futures.items() if future.done() and not future.cancelled()}
    return {index: future.result() for index, future in ended.items() if future.exception() is None}


def _submit(pool: ProcessPoolExecutor, function: Callable[[Task], Result], task: Task) -> Future[Result]:
    """Raises BrokenProcessPool also where the pool breaks while it takes the task, of which its closed pipe tells."""
    try:
        return pool.submit(_work, function, task)
    except OSError as error:
        if str(error) != "handle is closed":
            raise
        raise BrokenProcessPool("a worker died") from error


def _work(function: Callable[[Task], Result], task: Task) -> Result:
    try:
        return function(task)
    finally:  # reap processes that a program has left to this worker, as one can with CLONE_PARENT
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
