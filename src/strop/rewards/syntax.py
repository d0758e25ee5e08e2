"""Say cheaply whether a text is Python, without compiling it.

Only the parser runs here, in the judge's own process: its time and memory grow with the text's length alone (0.1 s and
50 MB at most for a whole program). What the compiler does with a few hundred characters can take gigabytes, so that
happens in the sandbox, and so does the check of what is nested too deep for the parser.
"""

from __future__ import annotations

import ast
import re
import threading
import warnings
from functools import lru_cache
from itertools import chain, repeat
from typing import NamedTuple

from .fences import INVISIBLE, lines_of

MAX_PROGRAM_CHARS = 64_000
_MOST_KEPT = 8_000
"""Characters of a source whose tree is kept for a while, since one answer's is asked for several times; of longer ones
only the last is, which may take 50 MB."""

# catch_warnings swaps state of the whole process, and so does CPython 3.11's ast.parse (python/cpython#106905).
_parser_lock = threading.Lock()
# Strings and comments, roughly: an unterminated one ends with its line, or with the text if triple-quoted.
_STRING = re.compile(
    r"#[^\n]*+|\"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\Z)|'''(?:\\.|[^\\])*?(?:'''|\Z)"
    r"|\"(?:\\.|[^\"\\\n])*+\"?|'(?:\\.|[^'\\\n])*+'?",
    re.DOTALL,
)
_STRING_SPACE_OR_UNSEEN = re.compile(
    rf"({_STRING.pattern})|([\u00a0\u2000-\u200a\u202f\u205f\u3000])|[{INVISIBLE}]", re.DOTALL
)


class ParsedProgram(NamedTuple):
    """What the parser makes of a source."""

    tree: ast.Module | None  # None where it refuses, or the source is nested too deep for this process
    error: str | None  # why it refuses, in one line
    line: int | None  # where it stops, from 1


def syntax_error(source: str) -> str | None:
    """Why the parser refuses ``source``, in one line; None when it does not.

    None is no promise: ``return`` outside of a function is found by the compiler, which runs in the sandbox alone, and
    so is what is nested too deep to be parsed here.
    """
    return parse(source).error


def parse_program(source: str) -> ast.Module | None:
    """The syntax tree; None where `syntax_error` has something to say or the source is nested too deep."""
    return parse(source).tree


def parse(source: str) -> ParsedProgram:
    """Run the parser. Safe to call from many threads. The tree is shared with other callers: read it only."""
    return _parse_short(source) if len(source) <= _MOST_KEPT else _parse_long(source)


def _parse(source: str) -> ParsedProgram:
    if len(source) > MAX_PROGRAM_CHARS:
        return ParsedProgram(None, f"the program has {len(source)} characters, more than {MAX_PROGRAM_CHARS}", None)
    try:
        with _parser_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.removeprefix("\ufeff"), "main.py")
        return ParsedProgram(tree, None, None)
    except SyntaxError as error:
        return ParsedProgram(None, f"{error.msg} (line {error.lineno})", error.lineno or 1)
    except (ValueError, OverflowError) as error:  # null bytes, lone surrogates
        return ParsedProgram(None, str(error), 1)
    except (RecursionError, MemoryError):
        return ParsedProgram(None, None, None)


_parse_short, _parse_long = lru_cache(maxsize=16)(_parse), lru_cache(maxsize=1)(_parse)


def clean(source: str) -> str:
    """The source without what cannot be seen and was never meant, where that makes Python of it.

    A byte order mark at its head always; elsewhere, only where the parser refuses the source as it stands and accepts
    it so: other spaces become plain ones and zero-width characters go, outside of strings, and an indentation that all
    lines share is taken off.
    """
    source = source.lstrip(INVISIBLE)
    if syntax_error(source) is None:
        return source
    cleaned = _STRING_SPACE_OR_UNSEEN.sub(lambda found: found[1] or (" " if found[2] else ""), source)
    for text in (cleaned, dedent(cleaned)):
        if text != source and syntax_error(text) is None:
            return text
    return source


def dedent(source: str) -> str:
    """Without the white space that all lines begin with; lines within strings neither count nor change."""
    lines = _lines(source)
    leads = [line[: len(line) - len(line.lstrip(" \t"))] for line, is_free in lines if is_free]
    common = min(leads, key=len, default="")
    if not common or not all(lead.startswith(common) for lead in leads):
        return source
    return "".join(line.removeprefix(common) if free or not line.strip() else line for line, free in lines)


def indent(source: str, by: str = "    ") -> str:
    """With ``by`` before every line that is not blank and not within a string."""
    return "".join(by + line if is_free else line for line, is_free in _lines(source))


def _lines(source: str) -> list[tuple[str, bool]]:
    """The lines, and whether each holds something and begins outside of every string."""
    strings = chain((match.span() for match in _STRING.finditer(source)), repeat((len(source), len(source) + 1)))
    (start, end), at, lines = next(strings), 0, []
    for line in lines_of(source):
        while end <= at:
            start, end = next(strings)
        lines.append((line, bool(line.strip()) and not start < at))
        at += len(line)
    return lines
