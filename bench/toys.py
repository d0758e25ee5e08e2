"""Toys with a known optimum: steps that every algorithm takes to 95 % of it, `make bench-toys`.

    python bench/toys.py [--seeds 5] [--toy NAME] [--preset NAME] [--json]

Reinforcement learning: `common/toys.py` has the problems, the optimum and how many optimiser steps each preset may
take. Preferences: `common/toy_pairs.py`, pairs that can be told apart, and the accuracy on held-out ones. One thread,
so that the same seeds take the same steps on the same machine. Exit code 1 where one was not reached within its steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

import torch
from common.toy_pairs import ACCURATE, METHODS, accuracy
from common.toys import ENOUGH, TOYS, run
from rich.console import Console
from rich.table import Table


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seeds", type=int, default=5, help="seeds, from 0")
    made.add_argument("--toy", action="append", choices=[*TOYS, "pairs"], help="only this one; may be repeated")
    made.add_argument("--preset", action="append", help="only this one, or this preference method; may be repeated")
    made.add_argument("--json", action="store_true", help="print one object instead of tables")
    given = made.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    toys, presets = given.toy or [*TOYS, "pairs"], given.preset
    rl = {
        f"{name}/{preset}": learnt(name, preset, given.seeds)
        for name in toys
        if name in TOYS
        for preset in TOYS[name].within
        if not presets or preset in presets
    }
    methods = [m for m in METHODS if "pairs" in toys and (not presets or m in presets)]
    pairs = {method: judged(method, given.seeds) for method in methods}
    found = {
        "seeds": given.seeds,
        "reinforcement": rl,
        "preferences": pairs,
        "failed": [name for name, row in {**rl, **pairs}.items() if row["reached"] < given.seeds],
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    if given.json:
        print(json.dumps(found, indent=1))
    else:
        show(found)
    sys.exit(bool(found["failed"]))


def learnt(name: str, preset: str, seeds: int) -> dict[str, Any]:
    toy = TOYS[name]
    outcomes = [run(toy, preset, seed) for seed in range(seeds)]
    steps = [one.steps for one in outcomes]
    there = [n for n in steps if n is not None]
    row = {
        "within": toy.within[preset],
        "reached": len(there),
        "steps": steps,
        "median": statistics.median(there) if there else None,
        "reward": [round(one.reward, 3) for one in outcomes],
    }
    print(f"{name}, {preset}: {row}", file=sys.stderr, flush=True)
    return row


def judged(method: str, seeds: int) -> dict[str, Any]:
    found = [accuracy(method, seed) for seed in range(seeds)]
    row = {"reached": sum(a > ACCURATE for a in found), "accuracy": [round(a, 3) for a in found]}
    print(f"pairs, {method}: {row}", file=sys.stderr, flush=True)
    return row


def show(found: dict[str, Any]) -> None:
    console, seeds = Console(width=None if Console().is_terminal else 120), found["seeds"]
    names = dict.fromkeys(name.split("/")[0] for name in found["reinforcement"])
    table = Table(title=f"steps to {ENOUGH:.0%} of the optimum: median (of all seeds; allowed)")
    table.add_column("preset")
    for name in names:
        table.add_column(name, justify="right")
    for preset in dict.fromkeys(name.split("/")[1] for name in found["reinforcement"]):
        table.add_row(preset, *(_cell(found["reinforcement"].get(f"{name}/{preset}"), seeds) for name in names))
    if names:
        console.print(table)
    if found["preferences"]:
        table = Table("method", "held-out pairs told apart, by seed", title=f"accuracy, to be above {ACCURATE:.0%}")
        for method, row in found["preferences"].items():
            table.add_row(method, " ".join(f"{a:.3f}" for a in row["accuracy"]))
        console.print(table)
    console.print(f"not reached: {', '.join(found['failed']) or 'none'}; {found['cpu_seconds']:.0f} s of one core")


def _cell(row: dict[str, Any] | None, seeds: int) -> str:
    if row is None:
        return ""
    if row["median"] is None:
        return f"not in {row['within']}"
    steps = ", ".join("–" if n is None else str(n) for n in row["steps"])
    return f"{row['median']:g} ({steps}; {row['within']})"


if __name__ == "__main__":
    main()
