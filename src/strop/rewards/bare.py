"""Programs that stand in an answer without fences, with prose around them or not."""

from __future__ import annotations

import ast
import keyword
import re
from itertools import takewhile

from .fences import lines_of, text_outside
from .syntax import clean, parse, parse_program, syntax_error

# What the first line of a program looks like.
_BEGINS = re.compile(
    r"(?:from\s+[\w.]+\s+import\b|import\s+\w|(?:async\s+)?def\s+\w+\s*\(|class\s+\w+\s*[:(]|@\w|(?:if|while|with)\b.+:"
    r"|for\b.+\bin\b.+:|try\s*:|[^\W\d][\w.]*+\s*\(|[^\W\d][\w.]*+(?:\[[^\]\n]*+\])?\s*(?:,[\w\s,]*+)?(?::[^=\n]++)?[-+*/|&]?=)"
)
_BODY_BEGINS = re.compile(r"(?:return|raise|yield|assert)\b")
_CODE_LIKE = re.compile(r"[\w.]+(?:\s*[-+*/|&%@]?=|[(\[])|[)\]}]+\s*$")
_TAG = re.compile(r"</?\w+>|\[/?\w+\]")
_MOST_TRIES = 40
_MOST_CHARS = 1_000_000
"""How much is parsed of one answer, all tries together."""


def bare_programs(text: str, bodies: bool = False) -> list[str]:
    """The programs in a text without code blocks, in order; lines with fences separate them.

    Each begins at a line that looks like code and goes on as long as it is Python. What follows it must be prose: code
    that breaks off is no program, nor is the part of it before the break. Statements without any effect at either end,
    such as a lone word, are left out. With ``bodies`` one may begin with ``return``, as a function's body does.
    """
    whole = clean(text.strip("\r\n"))
    parsed = parse(whole)
    if parsed.error is None:
        program = without_idle_ends(whole)
        seen = parsed.tree is not None or _BEGINS.match(whole)  # too deep to see what it does, but it looks like code
        return [program] if program and seen else []
    programs = []
    tries, characters = _MOST_TRIES, _MOST_CHARS
    for piece in text_outside(text) or [text]:
        lines = lines_of(piece)
        at = 0
        while at < len(lines) and tries > 0 and characters > 0:
            begin = lines[at].lstrip(" \t")
            if not (_BEGINS.match(begin) or (bodies and _BODY_BEGINS.match(begin))):
                at += 1
                continue
            block = _indented_as_first(lines[at:])
            tries -= 1
            characters -= sum(map(len, block))
            program, used = _before_prose(block)
            at += max(used, 1)
            if program := program and without_idle_ends(program):
                programs.append(program)
    return programs


def without_trailing_prose(text: str) -> str | None:
    """The longest beginning of a text that is Python and is followed by prose alone, or None."""
    return _before_prose(lines_of(text))[0]


def without_idle_ends(program: str) -> str | None:
    """Without statements at the beginning and the end that do nothing; None where no other is left."""
    tree = parse_program(program)
    if tree is None:
        return program
    busy = [statement for statement in tree.body if not is_idle(statement)]
    if not busy:
        return None
    if len(busy) == len(tree.body):
        return program
    first, last = tree.body.index(busy[0]), tree.body.index(busy[-1])
    if isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant):
        first = 0  # its docstring
    lines = lines_of(program.removeprefix("\ufeff"))
    start = 0 if first == 0 else tree.body[first - 1].end_lineno
    end = len(lines) if last == len(tree.body) - 1 else tree.body[last + 1].lineno - 1
    kept = "".join(lines[start:end])
    return kept if syntax_error(kept) is None else program


def is_idle(statement: ast.stmt) -> bool:
    """Whether a statement has no effect when it runs."""
    if isinstance(statement, ast.AnnAssign):
        return statement.value is None
    if not isinstance(statement, ast.Expr):
        return False
    return not any(isinstance(node, ast.Call | ast.Await | ast.Yield | ast.YieldFrom) for node in ast.walk(statement))


def _indented_as_first(lines: list[str]) -> list[str]:
    """The lines up to the first that is indented less than the first one, that indentation taken off."""
    lead = lines[0][: len(lines[0]) - len(lines[0].lstrip(" \t"))]
    block = takewhile(lambda line: not line.strip() or line.startswith(lead), lines)
    return [line.removeprefix(lead) for line in block]


def _before_prose(lines: list[str]) -> tuple[str | None, int]:
    """(the program at the beginning of the lines, how many of them it takes)."""
    end, tries = len(lines), 8
    while end > 0 and tries > 0:
        program = clean("".join(lines[:end]))
        parsed = parse(program)
        if parsed.line is None:
            return (program, end) if parsed.error is None and program.strip() else (None, end)
        tries -= 1
        end = min(parsed.line, end) - 1
        if end <= 0 or not _is_prose(lines[end]):
            return None, max(end, 0)
    return None, max(end, 0)


def _is_prose(line: str) -> bool:
    """Whether a line that is not Python is text, and not Python that breaks off."""
    words = line.split()
    if not words or line[0] in " \t":
        return False
    if _TAG.match(words[0]) or (len(words) > 1 and words[0][0] in "#-*>|=+~`<[(\"'“‘1234567890"):
        return True
    first = words[0].rstrip(",:;.!?")
    return not keyword.iskeyword(first) and not keyword.issoftkeyword(first) and not _CODE_LIKE.match(line)
