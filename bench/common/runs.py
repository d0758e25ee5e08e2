"""Variants in fresh processes, taking turns: how every benchmark of this folder is run.

A script names its variants and has one function that measures one of them. `compare` starts the script again, once for
each variant and round, with ``--worker VARIANT``; that process measures, prints one JSON line and ends. So no variant
meets another's memory or caches, and a slow minute of a shared machine meets them all. The asking process stays small
and without torch: it must not take part in what it measures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strop.model.memory import ENVIRONMENT

ALLOCATOR = ENVIRONMENT  # what strop sets by itself, for the peers
PEAK = "matrix peak"  # the variant that measures the machine and not a program


class Skipped(Exception):
    """A variant cannot be measured here, and why: a program is not installed, or has no such function."""


class TimeUp(Exception):
    """A variant was not through in its time."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` after so many seconds of the clock, at the next line of Python (a product is computed to its end).

    For the main thread.
    """

    def up(*_: Any) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Variant:
    """``side``: whose program ("strop", "trl", …); ``settings``: what is particular to it; ``environment``: extra."""

    side: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def parser(doc: str, *, batch: int = 16, warmup: int = 2, steps: int = 4, rounds: int = 3) -> argparse.ArgumentParser:
    """The options that every benchmark knows."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model", default="smollm2-135m", help="a model as strop names it, llama-1b-random, or tiny")
    made.add_argument("--data", type=Path, help="a data file (JSON lines; also question/answer rows); else code_basics")
    made.add_argument("--rows", type=int, default=400, help="rows of the data to read")
    made.add_argument("--length", type=int, default=0, help="random token ids in sequences of up to this length")
    made.add_argument("--batch", type=int, default=batch, help="sequences per optimiser step")
    made.add_argument("--micro-batch-tokens", type=int, default=2048, help="tokens per flat row of strop")
    made.add_argument("--warmup", type=int, default=warmup, help="steps before the clock starts")
    made.add_argument("--steps", type=int, default=steps, help="steps on the clock")
    made.add_argument("--rounds", type=int, default=rounds, help="turns of every variant; medians are shown")
    made.add_argument("--only", action="append", help="variants to run (may be repeated); names as in the table")
    made.add_argument("--csv", type=Path, default=Path(__file__).parents[1] / "results.csv", help="rows are appended")
    made.add_argument("--json", action="store_true", help="print one object instead of a table")
    made.add_argument("--smoke", action="store_true", help="a tiny random model, one round, no CSV: seconds")
    made.add_argument("--worker", help=argparse.SUPPRESS)
    return made


def parse(made: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, with those of a smoke run put in. That runs on one core: threads of tiny products wait a lot."""
    given = made.parse_args()
    if given.smoke:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        given.model, given.data, given.rows = "tiny", None, 24
        given.batch, given.micro_batch_tokens = 4, 256
        given.warmup, given.steps, given.rounds = 1, 2, 1
    return given


Measure = Callable[[argparse.Namespace, Variant], dict]


def compare(given: argparse.Namespace, variants: Mapping[str, Variant], measure: Measure) -> dict[str, dict[str, Any]]:
    """Median of every number that ``measure`` returns, over rounds in which the variants take turns.

    A variant that fails is left out, with the end of what it said on stderr, and so is one that raises `Skipped`, with
    its reason, which ``given.skipped`` holds by the variant's name. In a worker process this measures the one variant,
    prints what was found as the last line, and ends. A smoke run measures all in this process.
    """
    given.skipped = {}
    if given.worker:
        print("\n" + json.dumps(_or_reason(measure, given, variants[given.worker])))
        sys.exit()
    chosen = {n: v for n, v in variants.items() if not given.only or n in given.only or v.side == "machine"}
    if given.only and (unknown := set(given.only) - set(variants)):
        sys.exit(f"no such variant: {', '.join(sorted(unknown))}; there are: {', '.join(variants)}")
    if given.smoke:
        with contextlib.redirect_stdout(sys.stderr):
            tried = {name: _or_reason(measure, given, variant) for name, variant in chosen.items()}
        return {name: _medians([row]) for name, row in tried.items() if not _skipped(given, name, row)}
    found: dict[str, list[dict]] = {name: [] for name in chosen}
    failed: set[str] = set()
    for turn in range(given.rounds):
        for name, variant in chosen.items():
            if name in failed:
                continue
            print(f"round {turn + 1}/{given.rounds}: {name} …", file=sys.stderr, flush=True)
            row = _fresh_process(name, variant)
            if row is None or _skipped(given, name, row):
                failed.add(name)
            else:
                found[name].append(row)
                print(f"  {_line(row)}", file=sys.stderr, flush=True)  # a run that is broken off has shown these
    if not any(rows for name, rows in found.items() if chosen[name].side != "machine"):
        sys.exit("no variant could be measured.")
    return {name: _medians(rows) for name, rows in found.items() if rows}


def _or_reason(measure: Measure, given: argparse.Namespace, variant: Variant) -> dict:
    try:
        return measure(given, variant)
    except Skipped as reason:
        return {"skipped": str(reason)}


def _skipped(given: argparse.Namespace, name: str, row: dict) -> bool:
    if "skipped" not in row:
        return False
    given.skipped[name] = row["skipped"]
    print(f"{name} skipped: {row['skipped']}", file=sys.stderr)
    return True


def _fresh_process(name: str, variant: Variant) -> dict | None:
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", **variant.environment}
    command = [sys.executable, *sys.argv, "--worker", name]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        print(f"{name} failed ({ended.returncode}):\n{ended.stderr[-2000:]}", file=sys.stderr)
        return None
    return json.loads(ended.stdout.splitlines()[-1])


def _line(row: dict) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in row.items() if isinstance(value, int | float))


def _medians(rows: list[dict]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key, value in rows[0].items():
        several = [row.get(key) for row in rows]
        numeric = all(isinstance(one, int | float) for one in several)
        merged[key] = statistics.median(several) if numeric else value
    if "tokens_per_second" in merged:
        merged["rounds"] = [round(row["tokens_per_second"], 3) for row in rows]
    return merged
