"""Judge a folder of hostile programs, one at a time, and watch what changes outside: `make hostile [CORPUS=DIR]`.

Prints a line for each program, and JSON as the last line. Exit code 1 when a program escaped or passed falsely. After
each, an honest program and an honest function are judged by the same worker: a program must not spoil it for the next.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from common.hostile import MAY_BE_LEFT, Case, Health, Outcome, judge_case, look_at_worker, read_case
from common.outside import Outside, bury

from strop.common.errors import InputError
from strop.rewards.pool import map_in_workers

CORPUS = Path(__file__).parents[1] / "tests/hostile/corpus"
COUNTED = {
    "escapes": "ESCAPE",
    "false_passes": "FALSE PASS",
    "wrong_verdicts": "WRONG VERDICT",
    "crashes": "CRASH",
    "left_over": "LEFT OVER",
    "loads": "LOAD",
}
"""Keys of the last line; a finding begins with the word beside its key."""

_MOST_CPU_SECONDS, _MOST_MB = 2.5, 400  # of the judge's own process
_PAUSES = (0.0, 0.05, 0.2, 0.5)  # the kernel takes a moment to bury the dead


class Watch:
    """Judges programs in one worker and says what is wrong with each."""

    def __init__(self, outside: Outside):
        self._outside = outside
        look_at(None)  # the first starts things that stay
        self._health = look_at(None)
        if self._health.verdicts != ("accepted", "accepted"):
            raise InputError(f"honest programs are not accepted on this machine: {self._health.verdicts}")

    def judge(self, case: Case) -> tuple[Outcome, list[str]]:
        """(outcome, findings); a finding begins with a word of COUNTED, or DOCUMENTED."""
        source = case.source
        for mark, value in self._outside.marks().items():
            source = source.replace(mark, value)
        known = set(self._outside.left_over(self._health.pid))
        with self._outside.touched(bool(case.head.get("touch"))):
            (outcome,) = map_in_workers(judge_case, [dataclasses.replace(case, source=source)], 1)
        left = self._left_over(known)
        findings = self._of_outcome(case, outcome)
        findings += [f"ESCAPE {change}" for change in self._outside.changes()]
        if left:
            findings.append(f"LEFT OVER processes {left}")
        return outcome, findings + self._of_worker()

    def _left_over(self, known: set[int]) -> dict[int, str]:
        left: dict[int, str] = {}
        for pause in _PAUSES:
            time.sleep(pause)
            bury(self._outside.left_over(self._health.pid))
            left = {pid: state for pid, state in self._outside.left_over(self._health.pid).items() if pid not in known}
            if not left:
                break
        return left

    def _of_outcome(self, case: Case, outcome: Outcome) -> list[str]:
        findings = []
        if outcome.crash:
            findings.append(f"CRASH {outcome.crash}")
        elif "ESC:" in outcome.text:
            kind = "DOCUMENTED" if case.documented else "ESCAPE"
            findings.append(f"{kind} {outcome.text[outcome.text.index('ESC:') :]:.110}")
        elif outcome.verdict not in case.expected:
            kind = "WRONG VERDICT" if not case.documented else "DOCUMENTED"
            if outcome.verdict == "accepted":
                kind = "FALSE PASS"
            findings.append(f"{kind} {outcome.text:.110}")
        if outcome.cpu_seconds > _MOST_CPU_SECONDS:
            findings.append(f"LOAD {outcome.cpu_seconds:.1f} s of the judge's own CPU time")
        if outcome.grown_mb > _MOST_MB:
            findings.append(f"LOAD {outcome.grown_mb} MiB in the judge's own process")
        return findings

    def _of_worker(self) -> list[str]:
        before, now = self._health, look_at(None)
        self._health = now
        findings = []
        if now.pid != before.pid:
            findings.append("CRASH the worker died")
        else:
            changed = [key for key in now.state if now.state[key] != before.state[key]]
            for key in changed:
                kind = "LEFT OVER" if key in MAY_BE_LEFT else "ESCAPE"
                findings.append(f"{kind} in the worker: {key} {before.state[key]!s:.40} -> {now.state[key]!s:.40}")
                if key == "affinity":
                    os.sched_setaffinity(now.pid, before.state[key])
                    now.state[key] = before.state[key]
        if now.verdicts != ("accepted", "accepted"):
            findings.append(f"CRASH honest programs after it: {now.verdicts}")
        return findings


def look_at(_: None) -> Health:
    (health,) = map_in_workers(look_at_worker, [None], 1)
    return health


def run(files: list[Path]) -> tuple[list[tuple[Case, Outcome, list[str]]], dict[str, int]]:
    """Judge the files and print a line for each; (rows, counts)."""
    rows = []
    with Outside() as outside:
        watch = Watch(outside)
        for file in files:
            case = read_case(file)
            outcome, findings = watch.judge(case)
            rows.append((case, outcome, findings))
            print(_line(case, outcome, findings), flush=True)
        changed = outside.tree_changes()
    counts = {"programs": len(rows)}
    for key, word in COUNTED.items():
        counts[key] = sum(any(finding.startswith(word) for finding in findings) for _, _, findings in rows)
    if changed:
        counts["escapes"] += 1
        print("ESCAPE", "; ".join(changed)[:300])
    return rows, counts


def _line(case: Case, outcome: Outcome, findings: list[str]) -> str:
    got = outcome.verdict or "crash"
    if outcome.total > 1:
        got += f" {outcome.passed}/{outcome.total}"
    said = " | ".join(" ".join(finding.split()) for finding in findings) or "ok"
    head = f"{case.name:40} {case.head['kind']:9} {case.head['expect'][:36]:36}"
    return f"{head} {got:18} {outcome.wall_seconds:5.1f} s  {said}"


def _by_kind(rows: list[tuple[Case, Outcome, list[str]]]) -> None:
    words = [*COUNTED.values(), "DOCUMENTED"]
    print(f"\n{'kind':10} {'programs':>8} {'ok':>5} " + " ".join(f"{word.lower():>14}" for word in words))
    for kind in sorted({case.head["kind"] for case, _, _ in rows}):
        found = [findings for case, _, findings in rows if case.head["kind"] == kind]
        count = Counter(word for findings in found for word in words if any(f.startswith(word) for f in findings))
        ok = sum(not findings for findings in found)
        print(f"{kind:10} {len(found):8} {ok:5} " + " ".join(f"{count[word]:14}" for word in words))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of programs")
    parser.add_argument("names", nargs="*", help="parts of names: only these programs")
    args = parser.parse_args()
    try:
        if not args.corpus.is_dir():
            raise InputError(f"{args.corpus} is no folder; give one of programs: make hostile CORPUS=DIR")
        files = [f for f in sorted(args.corpus.iterdir()) if f.suffix in (".py", ".txt")]
        files = [f for f in files if not args.names or any(name in f.name for name in args.names)]
        if not files:
            raise InputError(f"{args.corpus} has no programs (.py or .txt) by such names")
        rows, counts = run(files)
    except (InputError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _by_kind(rows)
    print(json.dumps(counts))
    return 1 if counts["escapes"] or counts["false_passes"] else 0


if __name__ == "__main__":
    sys.exit(main())
