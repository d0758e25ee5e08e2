"""`strop inspect`: read the data, lay conversations open, show them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from strop.errors import InputError
from strop.inspector.look import Choice, Found, Look
from strop.inspector.page import MOST_BYTES, MOST_CONVERSATIONS, Page
from strop.inspector.rows import open_part
from strop.inspector.subject import subject, tools
from strop.inspector.terminal import Terminal, rejections
from strop.named_sets import NAMED_SETS
from strop.visible import one_line

IN_TERMINAL = 5


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

    @property
    def limit(self) -> int | None:
        """How many examples at most; all of the chosen row's when one is chosen."""
        if self.count is not None or self.json or self.index is not None:
            return self.count
        return MOST_CONVERSATIONS if self.html else IN_TERMINAL


def inspect(request: Request) -> int:
    """Show what was asked for; returns the exit code (0).

    Conversations go to standard output, as text or with ``json`` as one object per line; with ``html`` to that file.
    What is said about them goes to standard error with ``json`` and to standard output otherwise.

    Raises:
        InputError: the data, the tokenizer or a setting is wrong, or not one conversation could be used. A row that
            cannot be used is listed, and the rest is shown.
    """
    if request.count is not None and request.count < 1:
        raise InputError(f"--count {request.count}: at least one conversation is needed.")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show ⟦ gets an escape, not an error
    about = subject(request.data, request.overrides, request.template, request.stop)
    parts = [open_part(part, NAMED_SETS) for part in about.parts]
    means = tools(about, request.model, request.tokenizer)
    choice = Choice(request.limit, request.index, request.place, request.only_warnings)
    look = Look(means.encoder, parts, choice)
    notes = Console(stderr=request.json, highlight=False, markup=False, emoji=False)
    found: Iterable[Found] = _printed_as_json(look) if request.json else look
    page = Page(request.data, means, look) if request.html else None
    if page is not None:
        page.fill(found)
    elif request.json:
        for _ in found:  # printing them is all
            pass
    else:
        _show(look, request, notes)
    _check(look, request)
    if page is not None:
        page.write(request.html)
        _say_page(page, request.html, notes)
    for line in [*str(look.report).split("\n"), *rejections(look)]:
        notes.print(one_line(line), soft_wrap=True)
    if page is None and not request.json and not look.ended and request.index is None:
        notes.print("There may be more: --count N shows more, --html FILE makes a page of all.", soft_wrap=True)
    return 0


def _printed_as_json(found: Iterable[Found]) -> Iterator[Found]:
    for one in found:
        print(json.dumps(one.inspection.to_dict(one.index)))
        yield one


def _show(look: Look, request: Request, console: Console) -> None:
    terminal = Terminal(console, request.tokens)
    for number, found in enumerate(look):
        if number == 0:
            terminal.legend()
        terminal.conversation(found)
    console.print()


def _say_page(page: Page, path: Path, console: Console) -> None:
    console.print(f"wrote {path}: {page.conversations:,} conversations. Open it in a browser.", soft_wrap=True)
    if page.full:
        console.print(
            f"A page holds {MOST_CONVERSATIONS:,} conversations (--count sets another number) and "
            f"{MOST_BYTES // 2**20} MiB; the rest of the data was not read.",
            soft_wrap=True,
        )


def _check(look: Look, request: Request) -> None:
    """Raises InputError where there is nothing to show, and says why."""
    if look.shown:
        return
    if look.rejected:
        first = look.rejected[0].reason
        if len(look.rejected) == 1:
            raise InputError(first)
        raise InputError(f"none of the {len(look.rejected):,} rows can be used; the first: {first}")
    if request.index is not None and request.index >= look.rows:
        raise InputError(f"--index {request.index}: the data has {look.rows:,} rows, counted from 0.")
    if request.place is not None and not look.report.conversations:
        raise InputError(f"--place {request.place}: no row's place has that in it; a place looks like data.jsonl:17.")
    if request.only_warnings and look.report.examples:
        return  # nothing to show is the good news
    raise InputError(f"{request.data}: every conversation was dropped by max_length; see chat.too_long.")
