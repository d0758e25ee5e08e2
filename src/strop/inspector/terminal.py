"""Conversations in the terminal: who wrote what, what is trained, which tokens end turns; with or without colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from strop.chat import Inspection, Segment
from strop.common.visible import code_point, one_line
from strop.inspector.look import Found, Look

_ROLES = {
    "system": "magenta",
    "developer": "magenta",
    "user": "cyan",
    "assistant": "green",
    "tool": "yellow",
    "tools": "yellow",
    "documents": "yellow",
}
_TEMPLATE = "dim"
_TRAINED = "bold underline"
_STOP = "bold reverse"
FIELDS = {
    "reasoning_content": "reasoning",
    "tool_calls": "tool call",
    "python": "python",
    "python_output": "output",
    "name": "name",
    "tool_call_id": "call id",
}
_GUTTER = 10  # columns for who wrote a line
_REASONS = 10  # rejected rows that are told

OPEN, CLOSE, STOP, BORDER, NEWLINE = "⟦", "⟧", "■", "│", "↵"
# Where signs stand for colours, the same signs in the data would be taken for them.
_SIGNS = {ord(sign): code_point(ord(sign)) for sign in OPEN + CLOSE + STOP + BORDER + NEWLINE}


class Terminal:
    """Prints to ``console``; ``tokens``: the borders of tokens are drawn too.

    On a terminal with colours roles have colours and trained text is bold and underlined; elsewhere it stands in
    ⟦ ⟧ and every stop token is followed by ■, and lines are not folded where nobody's screen ends.
    """

    def __init__(self, console: Console, tokens: bool = False):
        self.console, self.tokens = console, tokens
        self.signs = console.no_color or console.color_system is None

    def legend(self) -> None:
        if self.signs:
            text = Text(f"{OPEN}trained{CLOSE}   {STOP} after a stop token")
        else:
            text = Text.assemble(("trained", _TRAINED), "   ", ("stop token", _STOP), "   ")
            styles = {name: _ROLES[name] for name in ("system", "user", "assistant", "tool")} | {"template": _TEMPLATE}
            text.append_text(Text("   ").join(Text(name, style) for name, style in styles.items()))
        if self.tokens:
            text.append(f"   {BORDER} before a token, ×3: three tokens share a character")
        self._print(text)

    def conversation(self, found: Found) -> None:
        """One example: where it is from and how long it is, its text, and its warnings in words."""
        self._print(Text())
        self._print(_title(found))
        lines = list(self._lines(found.inspection))
        if self.console.is_terminal:
            table = Table.grid(padding=(0, 1))
            table.add_column(width=_GUTTER, no_wrap=True)
            table.add_column(overflow="fold")
            for who, line in lines:
                table.add_row(Text(who, _TEMPLATE), line)
            self.console.print(table)
        else:
            for who, line in lines:
                self._print(Text(f"{who:{_GUTTER}} ").append_text(line))
        for warning in found.inspection.warnings:
            where = "" if warning.message is None else f" (message {warning.message})"
            self._print(Text(f"  ! {warning.kind}{where}: {one_line(warning.words)}", "yellow"))

    def _lines(self, inspection: Inspection) -> Iterator[tuple[str, Text]]:
        """The text line by line, each with who wrote the first of it that is not the template's, where that changes."""
        cut = list(_pieces(inspection, self.tokens))
        line, who, above = Text(), "", ""
        for before, piece, after in zip([None, *cut], cut, [*cut[1:], None], strict=False):
            self._append(line, before, piece, after)
            if not who and piece.segment.role is not None:
                who = FIELDS.get(piece.segment.field, piece.segment.role)
            if piece.text.endswith("\n") or after is None:
                who = who or "template"
                yield (who if who != above else ""), line
                line, who, above = Text(), "", who

    def _append(self, line: Text, before: _Piece | None, piece: _Piece, after: _Piece | None) -> None:
        text, trained, style = one_line(piece.text.removesuffix("\n")), piece.segment.trained, ""
        if self.signs:
            text = text.translate(_SIGNS)
            if trained and not (before and before.segment.trained):
                line.append(OPEN)
        else:
            role = _ROLES.get(piece.segment.role or "", _TEMPLATE)
            style = " ".join([role, *[_TRAINED] * trained, *[_STOP] * piece.stop])
        if self.tokens and piece.tokens:
            line.append(BORDER, "dim")
        line.append(text, style)
        if self.tokens and piece.tokens > 1:
            line.append(f"×{piece.tokens}", "dim")
        if piece.text.endswith("\n"):
            line.append(NEWLINE, style)
        if self.signs and piece.stop and not (after and after.stop):
            line.append(STOP)
        if self.signs and trained and not (after and after.segment.trained):
            line.append(CLOSE)

    def _print(self, text: Text) -> None:
        self.console.print(text, soft_wrap=not self.console.is_terminal, highlight=False)


class _Piece(NamedTuple):
    """A stretch of one segment in one line. ``stop``: part of a stop token; ``tokens``: how many begin here."""

    text: str
    segment: Segment
    stop: bool
    tokens: int


def _pieces(inspection: Inspection, at_tokens: bool) -> Iterator[_Piece]:
    """The text in order, without gaps; with ``at_tokens`` also cut at every token's border."""
    text, starts, ends = inspection.text, inspection.starts, inspection.ends
    stops = sorted((starts[index], ends[index]) for index in inspection.stops)
    begins = Counter(starts)
    borders = {0, len(text), *(at + 1 for at, character in enumerate(text) if character == "\n")}
    borders.update(border for segment in inspection.segments for border in (segment.start, segment.end))
    borders.update(border for span in stops for border in span)
    if at_tokens:
        borders.update(starts, ends)
    segment, stop = 0, 0
    for start, end in pairwise(sorted(borders)):
        while inspection.segments[segment].end <= start:
            segment += 1
        while stop < len(stops) and stops[stop][1] <= start:
            stop += 1
        inside = stop < len(stops) and stops[stop][0] <= start
        yield _Piece(text[start:end], inspection.segments[segment], inside, begins[start])


def report_lines(look: Look) -> list[str]:
    """What was met. Where rows were rejected or a conversation has a warning it was not nothing."""
    warned = ", ".join(f"{kind} {count:,}" for kind, count in look.warnings.most_common())
    lines = [look.report.summary, *look.report.unusual, *([f"warnings: {warned}"] if warned else [])]
    return lines if len(lines) > 1 or look.rejected else [*lines, "nothing unusual met"]


def kinds(look: Look) -> Iterator[str]:
    """What the rows of each part were taken for."""
    for name, formats in look.formats.items():
        yield f"{name}: {', '.join(f'{kind} ({count:,})' for kind, count in formats.most_common())}"


def rejections(look: Look) -> Iterator[str]:
    """The rows that could not be used, in words: how many, and the first of them."""
    if not look.rejected:
        return
    rows = "1 row" if len(look.rejected) == 1 else f"{len(look.rejected):,} rows"
    yield f"{rows} of {look.rows:,} rejected; training would stop there:"
    for rejected in look.rejected[:_REASONS]:
        yield f"  {one_line(rejected.reason)}"
    if len(look.rejected) > _REASONS:
        yield f"  … and {len(look.rejected) - _REASONS:,} more"


def _title(found: Found) -> Text:
    example = found.inspection.example
    tokens, trained = len(example.tokens), example.trained_tokens
    turns = "1 turn" if len(example.turns) == 1 else f"{len(example.turns)} turns"
    weights = sorted({weight for weight in example.loss_weights if weight > 0})
    weighted = f", weights {weights[0]:g} to {weights[-1]:g}" if weights and weights != [1.0] else ""
    share = f"{trained / tokens:.1%}" if tokens else "none"
    counts = f"{tokens:,} tokens, {trained:,} trained ({share}), {turns}{weighted}"
    return Text.assemble((f"── {found.index} · {one_line(found.inspection.place)} ── ", "bold"), counts)
