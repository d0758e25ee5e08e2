"""Sandboxed executions per second: `python bench/judge.py`.

Worker processes (what strop does) against threads of the asking process, once small and once with 2.8 GB resident.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from strop.rewards import judge_answers, judge_program
from strop.tasks.code_basics import generate


def main() -> None:
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
