"""What is measured of each program that generates; by the standard library, for the environments of others use it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

LETTERS = (49, 50, 51, 52)
"""The tokens that answer a multiple choice question: A, B, C and D of SmolLM2; its first 17 are ties, never trained."""
KEPT = 8
"""Answers that are kept to compare what programs said."""


class Moment(NamedTuple):
    """Seconds of the clock, and of all cores together that this process and those it started were given."""

    wall: float
    cpu: float


Run = Callable[[Sequence[Sequence[int]], int], list[list[int]]]
"""(prompts, new tokens) -> the new tokens of each answer, of each of a prompt's answers one after another."""


def measured(asked: dict, run: Run, now: Callable[[], Moment] | None = None, peak: Callable | None = None) -> dict:
    """Rates, memory and the first answers of ``run``. ``asked``: what `generation_sides.asked` says.

    The first token's time is that of a run of one token, for all rows. ``choice`` runs once, after a few prompts as
    warm-up; its tokens are those of the prompts. ``run`` has to forget what it computed before.
    """
    now, peak, prompts, count = now or of_all_processes, peak or peak_memory_gb, asked["prompts"], asked["max_tokens"]
    length = sum(map(len, prompts))
    found: dict = {}
    if asked["choice"]:
        run(prompts[:2], 1)
    else:
        run(prompts, min(2, count))
        begun = now()
        run(prompts, 1)
        found["first_token_seconds"] = now().wall - begun.wall
        found["prefill_tokens_per_second"] = length / found["first_token_seconds"]
    begun = now()
    answers = run(prompts, 1 if asked["choice"] else count)
    ended = now()
    seconds, made = ended.wall - begun.wall, sum(map(len, answers))
    if made != len(prompts) * asked["group"] * (1 if asked["choice"] else count):
        raise ValueError(f"{made} tokens were generated; the answers are shorter than what was asked for.")
    tokens = length if asked["choice"] else made
    found |= {"tokens_per_second": tokens / seconds, "trained_tokens_per_second": 0.0, "tokens_per_step": tokens}
    found |= {"seconds_per_step": seconds, "cores_busy": (ended.cpu - begun.cpu) / seconds, "peak_memory_gb": peak()}
    if not asked["choice"] and count > 1 and (rest := seconds - found["first_token_seconds"]) > 0:
        found["decoded_per_second"] = (made - made // count) / rest
    if asked["group"] == 1:
        found["answers"] = answers[: None if asked["choice"] else KEPT]
    return found


def alike(mine: list[list[int]], others: list[list[int]]) -> float:
    """The share of tokens of ``others`` that agree with ``mine`` up to the first that differs, as rounding may make."""
    return sum(in_common(*pair) for pair in zip(mine, others, strict=True)) / sum(map(len, mine))


def in_common(some: Sequence[int], others: Sequence[int]) -> int:
    """With how many equal tokens both begin."""
    return next((i for i, (a, b) in enumerate(zip(some, others, strict=False)) if a != b), min(len(some), len(others)))


def of_all_processes() -> Moment:
    ticks = sum(int(x) for pid in _family() for x in _stat(pid)[11:13])
    return Moment(time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK"))


def peak_memory_gb() -> float:
    """The highest resident sets of this process and those it started, added up: what they share counts for each."""
    lines = (line for pid in _family() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")) / 1e9


def _family() -> list[int]:
    parents = {int(at.name): int(_stat(at.name)[1]) for at in Path("/proc").iterdir() if at.name.isdigit()}
    found = [os.getpid()]
    for pid in found:  # which grows meanwhile
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _stat(pid: int | str) -> list[str]:
    """The fields of /proc/PID/stat from the state on; those of a process that has ended meanwhile are 0."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 50
