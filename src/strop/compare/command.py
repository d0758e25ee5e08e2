"""`strop compare`: evaluations brought together, and what was asked for of them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.console import Console

from strop.common.console import make_console, say, speaking_on, working
from strop.common.errors import InputError
from strop.common.files import PAGE, atomic_writer, check_output
from strop.compare.blind import Chosen, choose, write_blind
from strop.compare.comparison import Comparison, compare_sides
from strop.compare.judge import VOTES, Judged, judge, local, served
from strop.compare.show import METHOD, agreement_text, as_json, judge_text, markdown, show, win_text
from strop.compare.votes import Rater, agreement, read_votes, win_rate
from strop.evals.gates import read_gate
from strop.report.files import runs_among
from strop.report.sides import read_side


@dataclass(frozen=True)
class Request:
    """What the command line asked for; names are its options'."""

    folders: list[Path]
    metric: list[str]
    gate: list[str]
    least: float | None
    flips: int
    md: bool
    html: Path | None
    blind: Path | None
    task: str | None
    count: int
    seed: int
    votes: list[Path]
    key: Path | None
    judge: str | None
    judge_url: str | None
    judge_out: Path | None
    json: bool


def compare(request: Request) -> tuple[int, dict[str, Any]]:
    """Returns the exit code (3: a gate failed) and the result. Raises InputError for what cannot be compared."""
    if len(request.folders) < 2:
        raise InputError("compare needs two folders or more: a run's, a stage's or an evaluation's.")
    if request.count < 1:
        raise InputError(f"--count {request.count}: at least one pair is judged.")
    if request.judge_url and not request.judge:
        raise InputError("--judge-url: name the model there with --judge NAME.")
    for place, ours in ((request.html, PAGE), (request.blind, PAGE), (request.judge_out, VOTES)):
        if place is not None:
            check_output(place, ours)
    gates = dict(map(read_gate, request.gate))
    if len(gates) < len(request.gate):
        raise InputError("--gate: a metric is named twice; keep one of the two.")
    first, *others = map(read_side, request.folders)
    for other in others:
        if other.folder.resolve() == first.folder.resolve():
            raise InputError(
                f"{first.title} and {other.title} are the same evaluation, {first.folder}; name the stages, e.g. "
                "runs/x/baseline runs/x/eval."
            )
    found = compare_sides(first, others, request.metric, gates, request.least)
    console = make_console(stderr=request.json or request.md)
    if request.blind or request.votes or request.judge:
        return 0, _judged(request, found, console)
    if request.md:
        sys.stdout.write(markdown(found))
    else:
        for one in found:
            show(one, console, request.flips)
        say(console, METHOD, "dim")
    result: dict[str, Any] = {"comparisons": [as_json(one) for one in found]}
    failed = [f"{one.second.title}: {name}" for one in found for name, gate in one.gates.items() if gate.failed]
    result["failed_gates"] = failed
    if request.html is not None:
        from strop.compare.page import MOST_RUNS, render

        runs, notes = {}, [f"the curves and settings of more than {MOST_RUNS} runs"]
        if len(request.folders) <= MOST_RUNS:
            runs, notes = runs_among(request.folders), []
        with atomic_writer(request.html) as file:
            file.write(render([first, *others], found, runs, notes))
        result["html"] = str(request.html)
        say(console, f"page: {request.html}")
    return (3 if failed else 0), result


def _judged(request: Request, found: list[Comparison], console: Console) -> dict[str, Any]:
    """Answers judged by people or a model: the page for it, or what came of it."""
    if len(found) > 1:
        raise InputError("answers are judged in pairs: give two folders.")
    [comparison] = found
    if request.blind is not None:
        return _write_page(request, request.blind, comparison, console)
    raters = _raters(request.votes, request.key)
    result: dict[str, Any] = {"first": comparison.first.title, "second": comparison.second.title}
    if request.judge is not None:
        with speaking_on(console), working("judge"):  # a local one is loaded, too
            done = _ask_judge(request, request.judge, comparison, raters)
        raters.append(done.rater)
        result["judge"] = {"pairs": done.pairs, "consistent": done.consistent, "silent": done.silent}
        result["judge"] |= {"cut_off": done.cut_off, "by_place": list(done.by_place)}
        say(console, judge_text(done))
    for rater in raters:
        if rater.task not in comparison.tasks:
            raise InputError(f"{rater.name}: votes on {rater.task}, which these evaluations do not share.")
    rates = [win_rate(one, comparison.tasks[one.task].pairs) for one in raters if one.votes]
    agreements = [agreement(a, b) for a, b in combinations(raters, 2)]
    for line in (*(win_text(one, comparison) for one in rates), *(agreement_text(one) for one in agreements if one)):
        say(console, line)
    result["votes"] = [asdict(one) | {"share": one.share.to_dict()} for one in rates]
    result["agreement"] = [asdict(one) for one in agreements if one]
    return result


def _raters(files: Sequence[Path], key: Path | None) -> list[Rater]:
    """Named after their files; by the whole path where several have one name. Raises InputError for one given twice."""
    places = [path.resolve() for path in files]
    if again := [path for path, place in zip(files, places, strict=True) if places.count(place) > 1]:
        raise InputError(f"--votes {again[0]} is given twice; one rater's votes count once.")
    raters = [read_votes(path, key) for path in files]
    names = [one.name for one in raters]
    return [
        replace(one, name=str(path)) if names.count(one.name) > 1 else one
        for one, path in zip(raters, files, strict=True)
    ]


def _write_page(request: Request, page: Path, comparison: Comparison, console: Console) -> dict[str, Any]:
    chosen = choose(comparison, request.task, request.count, request.seed)
    key = write_blind(page, chosen, comparison, request.seed)
    same = f"; {chosen.same:,} items have the same answer twice and are left out" if chosen.same else ""
    say(console, f"page: {page} ({len(chosen.pairs):,} pairs of {chosen.task}{same})")
    say(console, f"key: {key} (who judges must not look into it)")
    folders = " ".join(shlex.quote(str(folder)) for folder in request.folders)
    votes = page.with_name(f"{page.stem}.votes.jsonl")
    say(
        console,
        f"next: open the page, judge, save; then strop compare {folders} --votes {shlex.quote(str(votes))}",
    )
    return {"page": str(page), "key": str(key), "task": chosen.task, "pairs": len(chosen.pairs)}


def _ask_judge(request: Request, model: str, comparison: Comparison, raters: list[Rater]) -> Judged:
    """About the items that were voted on, or drawn ones where none were."""
    chosen = choose(comparison, request.task or (raters[0].task if raters else None), request.count, request.seed)
    if raters:
        voted = {name for one in raters if one.task == chosen.task for name in one.votes}
        pairs = [pair for pair in comparison.tasks[chosen.task].pairs if pair[0].name in voted]
        chosen = Chosen(chosen.task, pairs, chosen.same)
    ask = served(request.judge_url, model) if request.judge_url else local(model)
    return judge(chosen, ask, model, request.judge_out)
