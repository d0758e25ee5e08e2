"""`strop inspect`: read the data, lay conversations open, show them."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console

from strop.chat.notes import lines
from strop.common.console import OwnConsole, Steady
from strop.common.errors import InputError
from strop.common.files import PAGE, check_output
from strop.common.visible import one_line
from strop.config.recipe import check_said_once
from strop.inspector.look import Look, open_part
from strop.inspector.page import MOST_BYTES, MOST_CONVERSATIONS, Page
from strop.inspector.subject import subject, tools
from strop.inspector.terminal import Terminal, kinds, rejections, report_lines
from strop.tasks.base import named_sets

IN_TERMINAL = 5
REJECTED = 3
"""The exit code where rows were rejected: training would stop there."""
_IN_MEMORY = 64 * 2**20  # bytes of JSON; more waits in a temporary file


@dataclass(frozen=True)
class Request:
    """What the command line asked for; see `strop inspect --help`."""

    data: str
    model: str | None = None
    tokenizer: str | None = None
    template: str | None = None
    stop: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    count: int | None = None
    index: int | None = None
    place: str | None = None
    only_warnings: bool = False
    tokens: bool = False
    html: Path | None = None
    json: bool = False
    out: TextIO | None = None
    """Where the JSON goes; standard output by default."""

    @property
    def limit(self) -> int | None:
        """How many examples at most; all of the chosen row's when one is chosen."""
        if self.count is not None or self.json or self.index is not None:
            return self.count
        return MOST_CONVERSATIONS if self.html else IN_TERMINAL


def inspect(request: Request) -> int:
    """Show what was asked for; returns the exit code: 0, or 3 where rows were rejected.

    Conversations go to standard output, as text or with ``json`` as one object; with ``html`` to that file. What is
    said about them goes to standard error with ``json`` and to standard output otherwise.

    Raises:
        InputError: the data, the tokenizer or a setting is wrong, or not one conversation could be used. A row that
            cannot be used is listed, and the rest is shown.
    """
    if request.count is not None and request.count < 1:
        raise InputError(f"--count {request.count}: at least one conversation is needed.")
    if request.index is not None and request.index < 0:
        raise InputError(f"--index {request.index}: rows are counted from 0; give 0 or more.")
    if request.html is not None:
        if request.json:
            raise InputError("--json and --html are two ways to show the same; give one of them.")
        check_output(request.html, PAGE)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show ⟦ gets an escape, not an error
    given = {
        "model": ("--model" if request.model else "--tokenizer") if request.model or request.tokenizer else None,
        "chat.template": "--template" if request.template is not None else None,
    }
    check_said_once(request.overrides, {key: f"{by} says it; name it there." for key, by in given.items() if by})
    about = subject(request.data, request.overrides, request.template, request.stop)
    parts = [open_part(part, named_sets()) for part in about.parts]
    means = tools(about, request.model, request.tokenizer)
    look = Look(means.encoder, parts, request.limit, request.index, request.place, request.only_warnings)
    notes = OwnConsole(stderr=request.json, highlight=False, markup=False, emoji=False)
    for line in means.notes:
        notes.print(one_line(line), soft_wrap=True)
    if request.html or request.json:
        with Steady(notes, "rows read") as look.work:
            if request.html:
                _write_page(Page(request.data, means), request.html, look, request, notes)
            else:
                _print_json(look, request)
    else:
        terminal = Terminal(notes, request.tokens)
        for number, found in enumerate(look):
            if number == 0:
                terminal.legend()
            terminal.conversation(found)
        if look.shown:
            notes.print()
        _check(look, request)
    if not look.shown and not request.html:
        notes.print("No conversation has a warning.")
    said = dict.fromkeys(note for part in parts for note in part.notes)
    for line in [*said, *kinds(look), *report_lines(look), *rejections(look)]:
        notes.print(one_line(line), soft_wrap=True)
    if _goes_on(look, request) and not request.html and not request.json:
        notes.print("There may be more: --count N shows more, --html FILE makes a page.", soft_wrap=True)
    return REJECTED if look.rejected else 0


def _goes_on(look: Look, request: Request) -> bool:
    """Whether there may be more to show than was asked for."""
    return not look.ended and request.index is None


def _write_page(page: Page, target: Path, look: Look, request: Request, console: Console) -> None:
    page.fill(look)
    _check(look, request)
    cut = page.cut or (_goes_on(look, request) and request.count is None)
    page.write(target, look, cut)
    said = f"wrote {target}: {len(page.entries):,} conversations. Open it in a browser."
    console.print(said, soft_wrap=True)
    if cut:
        console.print(
            f"A page holds {MOST_CONVERSATIONS:,} conversations (--count sets another number) and "
            f"{MOST_BYTES // 2**20} MiB; the rest of the data was not read.",
            soft_wrap=True,
        )


def _print_json(look: Look, request: Request) -> None:
    """One object, printed when all of the data is read: an error on the way leaves standard output empty."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="ascii") as made:
        for number, found in enumerate(look):
            made.write(", " if number else "")
            made.write(json.dumps(found.inspection.to_dict(found.index)))
        _check(look, request)
        rest = {"rejected": [asdict(row) for row in look.rejected], "report": look.report.to_dict()}
        made.seek(0)
        out = request.out or sys.stdout
        out.write('{"conversations": [')
        shutil.copyfileobj(made, out)
        out.write(f"], {json.dumps(rest)[1:]}\n")
        out.flush()


def _check(look: Look, request: Request) -> None:
    """Raises InputError where there is nothing to show, and says why."""
    if look.shown or (request.only_warnings and look.report.examples):  # no warning at all is good news
        return
    if look.rejected:
        first = one_line(look.rejected[0].reason)
        if len(look.rejected) == 1:
            raise InputError(first)
        raise InputError(f"none of the rows can be used; the first: {first}")
    if look.report.notes and sum(look.report.formats.values()) == look.rows and not look.report.examples:
        raise InputError(f"{request.data}: nothing is left to train on; {'; '.join(lines(look.report.notes))}")
    if request.index is not None and request.index >= look.rows:
        raise InputError(f"--index {request.index}: the data has {look.rows:,} rows, counted from 0.")
    if request.place is not None and not look.report.conversations:
        raise InputError(f"--place {request.place}: no row's place has that in it; a place looks like data.jsonl:17.")
    raise InputError(f"{request.data}: every conversation was dropped by max_length; see chat.too_long.")
