"""Sandboxed executions per second, and what the sandbox costs a program: `python bench/judge.py`.

First one program after another: a small program in the sandbox, the same by plain Python with the same flags, one that
may start a process, and a function judged by asserts, in turns. Then 1,000 answers of code_basics, all right, judged as
an evaluation judges them; then worker processes (what strop does) against threads of the asking process, once small
and once with 2.8 GB resident.
"""

import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from strop.rewards import judge_answers, judge_asserts, judge_program
from strop.sandbox import Limits, run_python
from strop.sandbox.run import python_command
from strop.tasks.code_basics import CodeBasics, generate

ROUNDS = 200
SUM = "print(sum(map(int, input().split())))"


def overhead() -> None:
    """Medians of a program's time from start to end, in turns, so that the machine's load falls on all alike."""
    plain = [*python_command(), SUM]
    ways: dict[str, Callable[[], object]] = {
        "plain Python": lambda: subprocess.run(plain, input=b"1 2\n", capture_output=True, check=True, env={}),
        "in the sandbox": lambda: run_python(SUM, "1 2\n"),
        "with children": lambda: run_python(SUM, "1 2\n", Limits(processes=2)),
        "by asserts": lambda: judge_asserts("def f(x): return 2 * x", ["f"], "assert f(2) == 4"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 5):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            if turn >= 5:
                seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds["plain Python"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:15} {1000 * median:6.1f} ms a program, {1000 * (median - base):5.1f} above plain Python")


def evaluation(count: int = 1000) -> None:
    task = CodeBasics("code_basics", CodeBasics.Settings(count=count))
    answers = {record.name: record.response for record in generate("test", count, task.settings.seed)}
    items = task.all_items
    task.judge(items[:4], [answers[item.name] for item in items[:4]])  # starts the workers
    started = time.perf_counter()
    judgements = task.judge(items, [answers[item.name] for item in items])
    seconds = time.perf_counter() - started
    assert all(one.accepted for one in judgements)
    tests = sum(one.total for one in judgements)
    print(f"{count:,} answers, {tests:,} executions, in {seconds:.1f} s: {tests / seconds:.0f} a second")


def main() -> None:
    overhead()
    evaluation()
    records = generate("test", 48, 1)
    total = sum(len(r.tests) for r in records)
    programs = [(r.response.removeprefix("```python\n").removesuffix("\n```"), r.tests) for r in records]

    def threads() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda p: judge_program(*p), programs))

    def workers() -> None:
        judge_answers([(r.response, r.tests) for r in records])

    workers()  # start them
    ballast = []
    for size in ("small", "2.8 GB"):
        if size != "small":
            ballast.append(np.ones(350_000_000))
        for name, run in (("workers", workers), ("threads", threads)):
            started = time.perf_counter()
            run()
            print(f"parent {size:7} {name:8} {total / (time.perf_counter() - started):6.0f} executions/s")


if __name__ == "__main__":
    main()
