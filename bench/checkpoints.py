"""What checkpoints cost a run and what resuming costs its start: whole ``strop sft`` commands by the clock.

Two commands take turns over the same steps, one without checkpoints and one with one after every ``--every`` steps; the
rows of ``metrics.jsonl`` are seen as they appear. Then the second goes on for a step, and the time from its start to
that step is compared with that from the first start to the first step. ``python bench/checkpoints.py [--json]``
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

LOOK_EVERY = 0.02


def rows_by_the_clock(command: list[str], place: Path, metrics: Path) -> list[tuple[float, dict]]:
    """(seconds since the command began, row) for every row of a step that it adds to ``metrics``."""
    known = metrics.stat().st_size if metrics.exists() else 0
    started, found, rest = time.monotonic(), [], ""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=place, stdout=said, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None or (metrics.exists() and metrics.stat().st_size > known):
                if metrics.exists() and metrics.stat().st_size > known:
                    with metrics.open() as file:
                        file.seek(known)
                        rest += file.read()
                        known = file.tell()
                    *lines, rest = rest.split("\n")
                    found += [(time.monotonic() - started, row) for row in map(json.loads, lines) if "loss" in row]
                time.sleep(LOOK_EVERY)
        finally:
            process.kill()  # where this ends early
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read()[-2000:]}")
    return found


def sft(
    options: argparse.Namespace, place: Path, steps: int, every: int | None, *more: str
) -> list[tuple[float, dict]]:
    name = f"every_{every}"
    given = {
        "name": name, "train.max_steps": steps, "train.global_batch_size": options.batch, "train.warmup_ratio": 0,
        "train.checkpoint_every": "null" if every is None else every, "train.schedule": "constant",
    }  # fmt: skip
    command = [sys.executable, "-m", "strop", "sft", options.model, "--data", options.data, *more]
    command += [f"{name}={value}" for name, value in given.items()]
    return rows_by_the_clock(command, place, place / "runs" / name / "sft" / "metrics.jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--data", default="task:code_basics")
    parser.add_argument("--batch", type=int, default=16, help="sequences per step")
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--times", type=int, default=2, help="checkpoints on the clock")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    steps, with_, without, starts, resumed = options.every * (options.times + 1), [], [], [], []
    for number in range(options.rounds):
        place = Path(tempfile.mkdtemp(prefix="strop-checkpoints-"))
        for every, seconds in ((None, without), (options.every, with_))[:: 1 if number % 2 else -1]:
            rows = sft(options, place, steps, every)
            # From the step before the first checkpoint on the clock to the one before what would be the next.
            seconds.append(rows[-2][0] - rows[options.every - 2][0])
            starts.append(rows[0][0] - rows[0][1]["seconds"])
        rows = sft(options, place, steps + 1, options.every, "--continue")
        resumed.append(rows[0][0] - rows[0][1]["seconds"])
        shutil.rmtree(place)
        print(f"round {number + 1}: {without[-1]:.1f} s without, {with_[-1]:.1f} s with", file=sys.stderr)
    result = {
        "seconds_per_step": median(without) / (steps - options.every),
        "seconds_per_checkpoint": median(b - a for a, b in zip(without, with_, strict=True)) / options.times,
        "throughput_with_checkpoints": median(a / b for a, b in zip(without, with_, strict=True)),
        "seconds_more_to_resume": median(resumed) - median(starts),
        "steps": steps - options.every, "every": options.every, "batch": options.batch, "rounds": options.rounds,
    }  # fmt: skip
    print(json.dumps(result) if options.json else "\n".join(f"{k:28} {v:.4g}" for k, v in result.items()))


if __name__ == "__main__":
    main()
