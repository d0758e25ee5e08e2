"""Find the program in a model's answer, and say cheaply whether it is Python at all."""

from __future__ import annotations

import ast
import re
import threading
import warnings
from dataclasses import dataclass

MAX_PROGRAM_CHARS = 64_000

_FENCE = re.compile(r"^[ \t]*(?P<marks>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)$", re.MULTILINE)
_PYTHON = {"python", "python3", "py", "py3"}
# catch_warnings swaps state of the whole process, and so does CPython 3.11's ast.parse (python/cpython#106905).
_compiler_lock = threading.Lock()


@dataclass(frozen=True)
class CodeBlock:
    language: str  # first word of the fence's info string, in lower case; "" when there is none
    code: str
    closed: bool  # false for a fence that the answer ends without closing


def code_blocks(answer: str) -> list[CodeBlock]:
    """All fenced blocks in order (CommonMark's rule: closed by at least as many of the same marks, alone on a line)."""
    blocks, opened = [], None
    for fence in _FENCE.finditer(answer):
        marks, info = fence["marks"], fence["info"].strip()
        if opened is None:
            opened = (fence.end() + 1, marks, info.split()[0].lower() if info else "")
        elif not info and marks.startswith(opened[1]):
            blocks.append(CodeBlock(opened[2], answer[opened[0] : fence.start()], closed=True))
            opened = None
    if opened is not None:
        blocks.append(CodeBlock(opened[2], answer[opened[0] :], closed=False))
    return blocks


def syntax_error(source: str) -> str | None:
    """Why ``source`` is not a Python program, in one line; None when it is one. Compiles, never executes."""
    if len(source) > MAX_PROGRAM_CHARS:
        return f"the program has {len(source)} characters, more than {MAX_PROGRAM_CHARS}"
    try:
        with _compiler_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "main.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"{error.msg} (line {error.lineno})"
    except (ValueError, OverflowError) as error:  # null bytes, lone surrogates
        return str(error)
    except (RecursionError, MemoryError):
        return "too deeply nested"
    return None


def parse_program(source: str) -> ast.Module:
    """The syntax tree of a source for which `syntax_error` is None. Safe to call from many threads."""
    with _compiler_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def extract_program(answer: str) -> str | None:
    """The program that ``answer`` contains, or None.

    With fenced blocks: those labelled python (or python3, py, py3), otherwise those with no label; blocks of other
    languages never count. Of these the longest that compiles, or the longest where none does; the later of two of equal
    length. A closed block goes before an unclosed one. The longest, because answers put usage examples after the
    program more often than they put a longer draft before it. Without any fence: the whole answer when it compiles and
    does something (a lone word is valid Python).
    """
    blocks = [block for block in code_blocks(answer) if block.code.strip()]
    if not blocks:
        bare = answer.strip("\n")
        return bare if _looks_like_code(bare) else None
    chosen = [block for block in blocks if block.language in _PYTHON] or [b for b in blocks if not b.language]
    if not chosen:
        return None
    return max(
        reversed(chosen),  # max keeps the first of equals
        key=lambda block: (syntax_error(block.code) is None, block.closed, len(block.code.strip())),
    ).code


def _looks_like_code(text: str) -> bool:
    if not text.strip() or syntax_error(text) is not None:
        return False
    return any(
        not isinstance(statement, ast.Expr) or isinstance(statement.value, ast.Call)
        for statement in parse_program(text).body
    )
