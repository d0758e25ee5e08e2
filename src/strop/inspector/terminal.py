"""Conversations in the terminal: who wrote what, what is trained, which tokens end turns; with or without colour."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from strop.chat import Inspection
from strop.common.visible import code_point, one_line
from strop.inspector.look import Found, Look
from strop.inspector.pieces import Piece, label, pieces

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
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
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
            text.append_text(Text("   ").join(Text(name, style) for name, style in _named_styles()))
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
        """The text line by line, each with who wrote it where that changes."""
        before = None
        for who, parts in _by_line(pieces(inspection, self.tokens)):
            line = Text()
            for piece in parts:
                self._append(line, piece)
            yield (who if who != before else ""), line
            before = who

    def _append(self, line: Text, piece: _Shown) -> None:
        text, style = one_line(piece.text.removesuffix("\n")), ""
        if self.signs:
            text = text.translate(_SIGNS)
        else:
            style = " ".join(
                [_ROLES.get(piece.role or "", _TEMPLATE), *[_TRAINED] * piece.trained, *[_STOP] * piece.stop]
            )
        if self.signs and piece.opens:
            line.append(OPEN)
        if self.tokens and piece.tokens:
            line.append(BORDER, "dim")
        line.append(text, style)
        if self.tokens and piece.tokens > 1:
            line.append(f"×{piece.tokens}", "dim")
        if piece.text.endswith("\n"):
            line.append(NEWLINE, "" if self.signs else style)
        if self.signs and piece.stop_ends:
            line.append(STOP)
        if self.signs and piece.closes:
            line.append(CLOSE)

    def _print(self, text: Text) -> None:
        self.console.print(text, soft_wrap=not self.console.is_terminal, highlight=False)


class _Shown:
    """A piece that ends at the latest with its first newline, and what begins and ends with it."""

    __slots__ = ("closes", "opens", "role", "stop", "stop_ends", "text", "tokens", "trained", "who")

    def __init__(self, piece: Piece, text: str, first: bool):
        self.text, self.role, self.who = text, piece.segment.role, label(piece.segment)
        self.trained, self.stop = piece.segment.trained, piece.stop
        self.tokens = piece.tokens if first else 0
        self.opens = self.closes = self.stop_ends = False


def _by_line(cut: Iterator[Piece]) -> Iterator[tuple[str, list[_Shown]]]:
    """``(who wrote the line's first own text, its pieces)``."""
    shown = [_Shown(piece, text, number == 0) for piece in cut for number, text in enumerate(_LINE.findall(piece.text))]
    for before, piece, after in zip([None, *shown], shown, [*shown[1:], None], strict=False):
        piece.opens = piece.trained and not (before and before.trained)
        piece.closes = piece.trained and not (after and after.trained)
        piece.stop_ends = piece.stop and not (after and after.stop)
    line: list[_Shown] = []
    for piece in shown:
        line.append(piece)
        if piece.text.endswith("\n") or piece is shown[-1]:
            yield next((one.who for one in line if one.role is not None), "template"), line
            line = []


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


def _named_styles() -> list[tuple[str, str]]:
    return [(name, _ROLES[name]) for name in ("system", "user", "assistant", "tool")] + [("template", _TEMPLATE)]
