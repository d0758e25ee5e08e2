"""Hostile programs: files whose first line says how they are to be judged, and what came of judging one.

The first line is a comment that holds JSON:

    kind        stdio (a program), assert (a function that asserts are run on), answer (a model's whole answer),
                humaneval (an answer to the HumanEval item of that number)
    expect      the verdicts that are right, separated by |
    tests       stdio and answer: pairs of input and output, where {"repeat": [text, n]} stands for a long text; assert:
                source of asserts
    within      the file of a folder `within` beside the corpus in which the program stands, at its line `# the program`
    names       assert: the functions that the tests call
    item        humaneval: the item
    limits      as `strop.sandbox.Limits`
    touch       true: files and packets are made outside while it runs
    documented  a limitation that makes another verdict no fault
    why         for people

A program that finds a way out prints ``ESC:`` and what it got.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strop.rewards import extract_program, judge_asserts, judge_program
from strop.sandbox import Limits
from strop.tasks import humaneval

KINDS = ("stdio", "assert", "answer", "humaneval")
SUMS = (("1 2\n", "3\n"), ("10 20\n", "30\n"), ("-1 1\n", "0\n"))
PLACE = "# the program\n"
DOUBLE = "assert double(2) == 4\nassert double([1]) == [1, 1]"


@dataclass(frozen=True)
class Test:
    stdin: str
    stdout: str


@dataclass(frozen=True)
class Case:
    """One program and how it is to be judged."""

    name: str
    head: dict[str, Any]
    source: str

    @property
    def expected(self) -> list[str]:
        return self.head["expect"].split("|")

    @property
    def documented(self) -> bool:
        return "documented" in self.head


def read_case(path: Path) -> Case:
    """Raises ValueError where the first line does not say how to judge the file, OSError where its frame is missing."""
    first, _, source = path.read_bytes().decode("utf-8", "surrogatepass").partition("\n")
    try:
        head = json.loads(first.removeprefix("#"))
        known = head["kind"] in KINDS and isinstance(head["expect"], str)
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise ValueError(f"{path}: the first line must be # and JSON with kind ({', '.join(KINDS)}) and expect")
    if "within" in head:
        frame = (path.parents[1] / "within" / f"{head['within']}.py").read_text(encoding="utf-8")
        source = frame.replace(PLACE, source, 1)
    return Case(path.stem, head, source)


@dataclass
class Outcome:
    """What the judge said, and what that cost its own process."""

    verdict: str = ""
    text: str = ""  # detail and the end of stderr
    passed: int = 0
    total: int = 0
    crash: str = ""  # what the judge itself raised
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    grown_mb: int = 0


def judge_case(case: Case) -> Outcome:
    """In a worker: never raises what the judge raises."""
    outcome = Outcome()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    resident, cpu, wall = _megabytes("VmRSS"), time.process_time(), time.monotonic()
    try:
        judgement = _judge(case)
    except BaseException as error:  # noqa: BLE001 - this is what is looked for
        outcome.crash = f"{type(error).__name__}: {str(error)[:100]}"
    else:
        outcome.verdict, outcome.text = judgement.verdict, judgement.detail + "\n" + judgement.stderr_tail
        outcome.passed, outcome.total = judgement.passed, judgement.total
    outcome.cpu_seconds, outcome.wall_seconds = time.process_time() - cpu, time.monotonic() - wall
    outcome.grown_mb = _megabytes("VmHWM") - resident
    return outcome


def _judge(case: Case):
    head, limits = case.head, Limits(**case.head.get("limits", {}))
    if head["kind"] == "humaneval":
        return humaneval.grade(humaneval.load()[head["item"]], case.source, limits)
    if head["kind"] == "assert":
        return judge_asserts(case.source, head.get("names", ["double"]), head.get("tests", DOUBLE), limits)
    tests = [Test(*map(_text, pair)) for pair in head.get("tests", SUMS)]
    program = case.source if head["kind"] == "stdio" else extract_program(case.source)
    return judge_program(program, tests, limits)


def _settled(folder: str) -> int:
    """How many there are in a folder of /proc when those that are on their way out have had time to go."""
    counts = []
    for pause in (0.0, 0.01, 0.05, 0.1, 0.2):
        time.sleep(pause)
        counts.append(len(_kept(folder)))
        if counts[-1] <= _FEWEST[folder]:
            break
    _FEWEST[folder] = min(_FEWEST[folder], *counts)
    return min(counts)


def _kept(folder: str) -> list[str]:
    """The names; but for descriptors of processes, of which sandlock keeps one for each that its sandbox has had."""
    names = []
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):  # no link, or gone
            if os.readlink(f"{folder}/{name}") == "anon_inode:[pidfd]":
                continue
        names.append(name)
    return names


def _text(written: str | dict[str, Any]) -> str:
    if isinstance(written, str):
        return written
    text, count = written["repeat"]
    return text * count


def _megabytes(field_name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field_name))
    return int(line.split()[1]) // 1024


_FEWEST = {"/proc/self/task": 1, "/proc/self/fd": 1 << 20}
"""What this process has seen at the fewest."""
MAY_BE_LEFT = ("descriptors", "threads")
"""Of a worker's state: what shows that something was not put away, rather than reached."""


@dataclass
class Health:
    """What the worker is like after a program."""

    pid: int = 0
    verdicts: tuple[str, ...] = ()  # of an honest program and an honest function
    state: dict[str, Any] = field(default_factory=dict)


def look_at_worker(_: object) -> Health:
    """In a worker: are honest programs still judged rightly, and is the process as it was?"""
    program = judge_program("print(sum(map(int, input().split())))", [Test(*SUMS[0])])
    function = judge_asserts("def double(x): return 2 * x", ["double"], DOUBLE)
    mask = os.umask(0o22)
    os.umask(mask)
    state = {
        "affinity": sorted(os.sched_getaffinity(0)),
        "folder": os.getcwd(),
        "niceness": os.nice(0),
        "umask": mask,
        "limits": [resource.getrlimit(i) for i in range(16)],
        "environment": len(os.environ),
        "descriptors": _settled("/proc/self/fd"),
        "threads": _settled("/proc/self/task"),
        "scheduler": os.sched_getscheduler(0),
        "signals": [str(signal.getsignal(s)) for s in (1, 2, 15, 17)],
        "blocked": str(signal.pthread_sigmask(0, [])),
    }
    return Health(os.getpid(), (program.verdict, function.verdict), state)
