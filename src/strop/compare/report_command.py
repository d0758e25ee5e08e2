"""`strop report`: the page, or the Markdown, of one run or of several side by side."""

from __future__ import annotations

import re
import sys
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from strop.common.console import make_console, say
from strop.common.errors import InputError
from strop.common.files import PAGE, atomic_writer, check_output
from strop.compare.comparison import Comparison, compare_sides
from strop.compare.page import MOST_RUNS, beside, differences, render
from strop.compare.show import markdown as compared_markdown
from strop.report import write_report
from strop.report.files import RunFiles, runs_among
from strop.report.markdown import escaped, how, markdown, table
from strop.report.sides import NoEvaluation, Side, read_side

MARKDOWN = re.compile(r"#{2,3} ")
"""How Markdown begins, of one run and of several."""


@dataclass(frozen=True)
class ReportRequest:
    """What the command line asked for; names are its options'."""

    folders: list[Path]
    target: Path | None = None
    md: bool = False
    open: bool = False
    json: bool = False


def report(request: ReportRequest) -> dict[str, Any]:
    """What was written. Raises InputError for what no report can be made of."""
    if request.open and request.md:
        raise InputError("--open shows the page, and --md writes none; leave one of them out.")
    if (out := request.target) is not None and out.is_dir():
        raise InputError(f"--out {out} is a folder; name a file in it, e.g. {out / 'report.html'}.")
    if out is not None:
        check_output(out, MARKDOWN if request.md else PAGE)
    console = make_console(stderr=request.json or request.md)
    several = Beside.read(request.folders) if len(request.folders) > 1 else None
    if request.md:
        text = several.markdown() if several else markdown(request.folders[0])
        if out is None:
            sys.stdout.write(text if not request.json else "")
            return {"markdown": text}
        return {"report": str(_written(out, text, console))}
    if several:
        names = "-and-".join(folder.resolve().name for folder in request.folders)
        path = out or request.folders[0].parent / f"{names}.html"
        check_output(path, PAGE)
        _written(path, several.page(), console)
    else:
        path = write_report(request.folders[0], out)
        say(console, str(path))
    if request.open and not webbrowser.open(path.resolve().as_uri()):
        say(console, f"no browser can be opened here; open {path.resolve()} in one.")
    return {"report": str(path)}


def _written(path: Path, text: str, console: Console) -> Path:
    with atomic_writer(path) as file:
        file.write(text)
    say(console, str(path))
    return path


@dataclass(frozen=True)
class Beside:
    """Several folders: the last evaluation of each, their comparisons with the first, and of runs their files."""

    sides: list[Side]
    found: list[Comparison]
    unmatched: list[str]
    runs: dict[str, RunFiles]

    @classmethod
    def read(cls, folders: Sequence[Path]) -> Beside:
        """Raises InputError for folders that hold nothing, or the same thing twice."""
        if len(folders) > MOST_RUNS:
            raise InputError(f"a page shows at most {MOST_RUNS} runs side by side; {len(folders)} were named.")
        runs = runs_among(folders)
        sides = [_side(folder, runs) for folder in folders]
        places = [side.folder.resolve() for side in sides]
        for at, place in enumerate(places):
            if (first := places.index(place)) < at:
                said = f"{sides[first].title} and {sides[at].title} are the same evaluation"
                raise InputError(f"{said}, {place}; name every run once, or stages of it, e.g. runs/x/baseline.")
        return cls(sides, *_compared(sides), runs)

    def page(self) -> str:
        return render(self.sides, self.found, self.runs, self.unmatched)

    def markdown(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        titles = [side.title for side in self.sides]
        yield f"## {', '.join(map(escaped, titles))}\n"
        if numbers := beside(self.sides):
            cells = [[v + (f" ({interval})" if interval else "") for v, interval, _ in r["cells"]] for r in numbers]
            yield from table(["metric", *titles], [[r["name"], *c] for r, c in zip(numbers, cells, strict=True)])
        if self.unmatched:  # an empty line ends the list; a table right below would be text of its last entry
            yield from (*(f"- ⚠️ Not compared: {escaped(one)}" for one in self.unmatched), "")
        if self.found:
            yield compared_markdown(self.found)
        if differing := differences(self.runs):
            yield from table(["setting", *self.runs], [[name, *values] for name, values in differing])
        for title, run in self.runs.items():
            yield f"{escaped(title)}:\n"
            yield from how(run)


def _side(folder: Path, runs: dict[str, RunFiles]) -> Side:
    """An empty one of a run in which nothing was measured: it has curves and settings."""
    try:
        return read_side(folder)
    except NoEvaluation:
        if str(folder) not in runs:
            raise
        return Side(str(folder), folder, {}, {}, {}, {}, {})


def _compared(sides: Sequence[Side]) -> tuple[list[Comparison], list[str]]:
    """Each against the first, all tests corrected together; and why some could not be."""
    first, *others = sides
    try:
        return compare_sides(first, others), []
    except InputError:
        matched, unmatched = [], []
        for other in others:
            try:
                compare_sides(first, [other])
                matched.append(other)
            except InputError as error:
                unmatched.append(str(error))
        return (compare_sides(first, matched) if matched else []), unmatched
