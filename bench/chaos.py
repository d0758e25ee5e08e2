"""Kill runs at random instants, break what they stand on: does the same command end where it would have? `make chaos`

    python bench/chaos.py --kills 25 [--seed 0] [--stage sft --stage grpo] [--no-faults] [--json]

Each stage is run once without interference, by `python -m strop run` in a process of its own, and then again, killed
(SIGKILL, the whole process group) and begun again by the same command until it comes to its end; what it leaves is
compared with the first, file by file, bit for bit. The kills go round the stages, in turn by part of the work and by
operation on files; one that came after the end does not count. Then other faults: see `common/chaos_faults.py`.

Prints a table, and one JSON object as the last line. Exit code 1 where anything differed or a checkpoint was half
there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a copy of a process with threads has none of them
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from common.chaos_faults import faults
from common.chaos_kills import Ended, by_itself, draw, forked, left_over, load_all
from common.chaos_same import differences, half_visible
from common.chaos_stages import MODEL, NAME, STAGES, Chaotic
from common.machine import about
from rich.console import Console
from rich.table import Table

from strop.common.folders import cache_folder
from strop.model.names import resolve
from strop.model.settings import NewModel

RUN = ["run", "recipe.yaml"]
PATIENCE = 10  # kills after which a run is let go to its end, to be compared


class Kills:
    """One stage, killed again and again."""

    def __init__(self, name: str, stage: Chaotic, work: Path, model: Path, seed: int):
        self.name, self.stage, self.model = name, stage, model
        self.chance = random.Random(f"{seed} {name}")
        self.run, self.reference = work / "run", work / "reference"
        self.built = cache_folder() / "kernels"
        self.found: list[dict[str, Any]] = []
        self.at: Counter[str] = Counter()
        self.counts = Counter(kills=0, runs=0, resumed=0, after_the_end=0)
        self.seconds = 0.0

    def begin(self) -> None:
        """The uninterrupted run, and one in a copy of this process that tells of the parts of the work."""
        self.fresh()
        self.check(by_itself(self.run, RUN), "uninterrupted, in a process of its own")
        if (kernels := self.run / "cache/kernels").is_dir() and not self.built.exists():
            shutil.copytree(kernels, self.built)  # built once: a compiler takes longer than all else
        self.run.rename(self.reference)  # every run is from one place
        self.fresh()
        self.rehearsal = forked(self.run, RUN)
        self.check(self.rehearsal, "uninterrupted, in a copy of this process")
        self._compare("uninterrupted, in a copy of this process")

    def kill(self, wanted: int) -> None:
        """As many kills as ``wanted``, in as many runs as they need, each of which comes to its end."""
        while self.counts["kills"] < wanted:
            self._once(min(PATIENCE, wanted - self.counts["kills"]))

    def _once(self, most: int) -> None:
        self.fresh()
        self.counts["runs"] += 1
        here: list[str] = []
        while len(here) < most:
            ended = forked(self.run, RUN, draw(self.chance, self.rehearsal, self.counts["kills"]))
            self.seconds += ended.seconds
            if ended.killed is None:
                self.check(ended, f"after kills at {', '.join(here) or 'no instant'}")
                self.counts["after_the_end"] += 1
                break
            here.append(ended.killed)
            self.at[kind_of(ended.killed)] += 1
            self.counts["kills"] += 1
            self.whole(ended.killed)
        else:
            ended = by_itself(self.run, RUN)
            self.check(ended, f"after kills at {', '.join(here)}")
        self.counts["resumed"] += len(here)
        self._compare(f"killed at {', '.join(here)}")

    def fresh(self) -> None:
        shutil.rmtree(self.run, ignore_errors=True)
        self.stage.write(self.run, self.model)
        if self.built.is_dir():
            shutil.copytree(self.built, self.run / "cache/kernels")

    def whole(self, when: str) -> None:
        for what in half_visible(self.run / "runs"):
            self.tell(f"killed at {when}", {"file": what, "what": "half visible", "bytes": 0})
        until = time.monotonic() + 20
        while (left := left_over(self.run)) and time.monotonic() < until:
            time.sleep(0.05)
        if left:
            self.tell(f"killed at {when}", {"file": "", "what": f"processes {left} are left over", "bytes": 0})

    def check(self, ended: Ended, when: str) -> None:
        if ended.code:
            self.tell(when, {"file": "", "what": f"exit code {ended.code}: {ended.last_line}", "bytes": 0})

    def _compare(self, when: str) -> None:
        for one in differences(self.reference / "runs" / NAME, self.run / "runs" / NAME):
            self.tell(when, one)

    def tell(self, when: str, what: dict[str, Any]) -> None:
        self.found.append({"stage": self.name, "when": when, **what})
        print(f"  {self.name}, {when}: {what['file']} {what['what']}", file=sys.stderr, flush=True)

    def row(self) -> dict[str, Any]:
        return {
            "stage": self.name,
            "fault": "kill -9",
            "times": self.counts["kills"],
            "outcome": "identical" if not self.found else f"{len(self.found)} differences",
            "bytes": sum(one["bytes"] for one in self.found),
            **self.counts,
            "at": dict(self.at),
            "seconds": round(self.seconds, 1),
        }


def kind_of(killed: str) -> str:
    """An instant without its numbers, to be counted: the part of the work, or what kind of file was at hand."""
    if not killed.startswith("file: "):
        return killed
    path = killed.rpartition(" ")[2]
    kinds = ("checkpoints", "model", "evals", "rollouts", "cache", "metrics.jsonl")
    return f"file: {next((kind for kind in kinds if kind in path), 'other')}"


def shares(kills: int, count: int) -> list[int]:
    """``kills`` over ``count`` stages, as equal as can be."""
    return [kills // count + (i < kills % count) for i in range(count)]


def chaos(kills: int, seed: int, stages: dict[str, Chaotic], with_faults: bool, work: Path) -> dict[str, Any]:
    os.environ["STROP_CACHE"] = str(work / "made")
    model = resolve(NewModel.model_validate(MODEL))
    rows, found, skipped = [], [], []
    for (name, stage), wanted in zip(stages.items(), shares(kills, len(stages)), strict=True):
        place = work / name
        place.mkdir()
        one = Kills(name, stage, place, model, seed)
        one.begin()
        one.kill(wanted)
        rows.append(one.row())
        found += one.found
        say(rows[-1])
        for row in faults(name, one, random.Random(f"{seed} {name} faults")) if with_faults else ():
            skipped += [row] if row["outcome"].startswith("skipped") else []
            found += row.pop("found")
            rows.append(row)
            say(row)
        shutil.rmtree(place)
    counted = [row for row in rows if row["fault"] == "kill -9"]
    return {
        "kills": sum(row["times"] for row in counted),
        "identical": not found,
        "differences": found,
        "skipped": skipped,
        "stages": rows,
        "seed": seed,
        "about": about(),
    }


def say(row: dict[str, Any]) -> None:
    print(f"{row['stage']}, {row['fault']}: {row['times']} times, {row['outcome']}", file=sys.stderr, flush=True)


def show(found: dict[str, Any], console: Console) -> None:
    table = Table(title=f"{found['kills']} kills, seed {found['seed']}; {found['about']['machine']}")
    for column in ("stage", "fault", "times", "outcome", "bytes differing"):
        table.add_column(column, justify="right" if column in ("times", "bytes differing") else "left")
    for row in found["stages"]:
        table.add_row(row["stage"], row["fault"], str(row["times"]), row["outcome"], str(row["bytes"]))
    console.print(table)
    at = Counter()
    for row in found["stages"]:
        at.update(row.get("at", {}))
    console.print("killed at: " + ", ".join(f"{name} {count}" for name, count in at.most_common()))
    for one in found["differences"]:
        console.print(f"{one['stage']}, {one['when']}: {one['file']} {one['what']}", markup=False)


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--kills", type=int, default=25, help="kills in all, shared out over the stages (25)")
    made.add_argument("--seed", type=int, default=0, help="draws the instants (0)")
    made.add_argument("--stage", action="append", choices=list(STAGES), default=[])
    made.add_argument("--no-faults", action="store_true", help="kills alone")
    made.add_argument("--json", action="store_true", help="no table")
    given = made.parse_args()
    stages = {n: s for n, s in STAGES.items() if not given.stage or n in given.stage}
    load_all()
    work = Path(tempfile.mkdtemp(prefix="strop-chaos-"))  # a TemporaryDirectory would end with the first copy
    try:
        found = chaos(given.kills, given.seed, stages, not given.no_faults, work)
    finally:
        shutil.rmtree(work)
    if not given.json:
        show(found, Console(width=None if Console().is_terminal else 140))
    print(json.dumps(found))
    return 0 if found["identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
