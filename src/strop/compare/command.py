"""`strop compare`: evaluations brought together, and what was asked for of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.common.console import make_console, say
from strop.common.errors import InputError
from strop.common.files import atomic_writer
from strop.compare.comparison import compare_sides
from strop.compare.show import METHOD, as_json, markdown, show
from strop.compare.sides import read_side
from strop.evals.gates import read_gate


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
    json: bool


def compare(request: Request) -> tuple[int, dict[str, Any]]:
    """Returns the exit code (3: a gate failed) and the result. Raises InputError for what cannot be compared."""
    if len(request.folders) < 2:
        raise InputError("compare needs two folders or more: a run's, a stage's or an evaluation's.")
    if request.least is not None and not request.least > 0:
        raise InputError(f"--least {request.least:g}: the smallest change that matters is above 0, e.g. 0.03.")
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
    if request.md:
        sys.stdout.write(markdown(found))
    else:
        console = make_console(stderr=request.json)
        for one in found:
            show(one, console, request.flips)
        say(console, METHOD, "dim")
    result: dict[str, Any] = {"comparisons": [as_json(one) for one in found]}
    failed = [f"{one.second.title}: {name}" for one in found for name, gate in one.gates.items() if gate.failed]
    result["failed_gates"] = failed
    if request.html is not None:
        from strop.compare.page import render

        with atomic_writer(request.html) as file:
            file.write(render(found))
        result["html"] = str(request.html)
        say(make_console(stderr=request.json or request.md), f"page: {request.html}")
    return (3 if failed else 0), result
