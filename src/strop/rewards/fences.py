"""Fenced code blocks of an answer, read as CommonMark does and a little more kindly, in one pass over its lines.

A fence is three or more backticks or tildes on a line, after nothing but white space, marks of quotations and lists,
and characters that nobody sees. It is closed by at least as many of the same marks alone on a line. Beyond CommonMark,
because models write so and because outside of a string no Python holds three backticks:

- a Python block may begin after text on its line (``Here: ```python``) and end after code (``print(1)```  ``);
- a fence with a label inside an open block begins the next one: somebody forgot to close the first;
- a fence in a triple-quoted string of a Python block is text of the program.

The indentation of a fence, and the quotation that it stands in, are taken off its lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, groupby

INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\u200e\u200f"
"""Byte order mark, zero-width characters and marks of direction: pasted along, never meant."""
_SPACES = " \t\u00a0\u2007\u202f\u3000"
_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n)?")
_LEAD = rf"(?:[{_SPACES}{INVISIBLE}>]|(?:[-*+]|\d{{1,9}}[.)])(?=[ \t]))*+"
_FENCE = re.compile(rf"(?P<lead>{_LEAD})(?P<marks>`{{3,}}+|~{{3,}}+)(?P<info>.*)", re.DOTALL)
_TOKEN = re.compile(r"\"\"\"|'''|#.*|\"(?:\\.|[^\"\\])*+\"?|'(?:\\.|[^'\\])*+'?|`{3,}", re.DOTALL)
_END_OF = {marks: re.compile(rf"(?:\\.|[^\\])*?{marks}", re.DOTALL) for marks in ('"""', "'''")}
_PYTHON = re.compile(r"(?:language-|lang-)?i?py(?:thon)?-?[23]?(?:\.\d+)*")
_WORD = re.compile(r"[^\s,;=\"'{}()\[\]]+")
_LABEL = re.compile(r"[\w.+#:{}-]+")
_NAMES_A_FILE = {"file", "filename", "title", "name", "path"}
_MOST_SECOND_THOUGHTS = 8


@dataclass(frozen=True)
class CodeBlock:
    language: str  # first word of the fence's info string, in lower case; "" when there is none
    code: str
    closed: bool  # false for a block that ends without its closing fence
    python: bool = False  # its label says so: python, py3, python3.11, ipython, {.python}, python:main.py, main.py …


def is_python(info: str) -> bool:
    """Whether a fence's info string names Python or a file of it."""
    words = _WORD.findall(info.lower())
    if not words:
        return False
    if words[0] == "code-cell" and len(words) > 1:
        words = words[1:]
    head, colon, _ = words[0].lstrip(".").partition(":")
    if _PYTHON.fullmatch(head) or (words[0].endswith(".py") and (not colon or head.isdigit())):
        return True
    return words[0] in _NAMES_A_FILE and words[-1].endswith(".py")


def code_blocks(answer: str) -> list[CodeBlock]:
    """All fenced blocks in order."""
    return [block for _, _, block in place_blocks(answer)]


def text_outside(answer: str) -> list[str]:
    """The answer cut at every line that begins or ends a block, those inside of blocks too."""
    pieces = groupby(lines_of(answer), key=lambda line: bool(_FENCE.match(line)))
    texts = ("".join(lines) for is_fence, lines in pieces if not is_fence)
    return [text for text in texts if text.strip()]


def lines_of(text: str) -> list[str]:
    """With their ends; only LF, CR and CRLF end a line."""
    return [match[0] for match in _LINE.finditer(text) if match[0]]


@dataclass
class _Open:
    """A block that is being read."""

    start: int  # where its fence's line begins
    marks: str
    info: str
    column: int  # of the fence, in its quotation
    quotes: int  # how deep the quotation is
    lines: list[str] = field(default_factory=list)
    string: str = ""  # the triple quotes that are open
    # Fences that end the block if nothing else does, as (index, lines of the block before it): in a string, too short.
    quoted: tuple[int, int] | None = None
    short: tuple[int, int] | None = None

    @property
    def python(self) -> bool:
        return is_python(self.info)

    def finish(self, closed: bool) -> CodeBlock:
        language = self.info.split()[0].lower() if self.info else ""
        return CodeBlock(language, "".join(_take_off(self.lines, self.column)), closed, self.python)


def place_blocks(answer: str) -> list[tuple[int, int, CodeBlock]]:
    """The blocks with the characters that they take, fences included, as (start, end, block)."""
    lines = lines_of(answer)
    starts = list(accumulate(map(len, lines), initial=0))
    blocks: list[tuple[int, int, CodeBlock]] = []
    opened: _Open | None = None
    second_thoughts = index = 0
    while index < len(lines) or opened is not None:
        if opened is None:
            opened = _opening(lines[index], starts[index])
            index += 1
            continue
        if index < len(lines):
            content = _unquoted(lines[index], opened.quotes)
            kind, cut = _reads(content, opened, index, second_thoughts < _MOST_SECOND_THOUGHTS)
            opened.lines.append(content[:cut])
        elif second_thought := opened.quoted if opened.string else opened.short:
            kind, (index, kept) = "closes", second_thought
            del opened.lines[kept:]
            second_thoughts += 1
        else:
            kind = "ends"
        if kind != "content":
            closed = kind == "closes"
            blocks.append((opened.start, starts[index + closed], opened.finish(closed)))
            opened = _opening(lines[index], starts[index]) if kind == "reopens" else None
        index += 1
    return blocks


def _opening(line: str, start: int) -> _Open | None:
    match = _FENCE.match(line)
    if match is not None:
        marks, info, lead = match["marks"], match["info"], match["lead"]
    else:  # text before it: only where the label leaves no doubt
        before, marks, info = line.partition("```")
        if not marks or not is_python(info) or len(_WORD.findall(info)) > 1:
            return None
        lead = before[: len(before) - len(before.lstrip())]
    if marks[0] == "`" and "`" in info:  # inline code
        return None
    inner = lead[lead.rfind(">") + 1 :]
    if ">" in lead and inner[:1] in (" ", "\t"):
        inner = inner[1:]
    return _Open(start, marks, info.strip(f"{_SPACES}{INVISIBLE}\r\n"), _columns(inner), lead.count(">"))


def _reads(content: str, block: _Open, index: int, may_doubt: bool) -> tuple[str, int | None]:
    """What a line does to an open block (content, closes, reopens), and how much of it is the block's (None: all)."""
    fence = _FENCE.match(content)
    lead, marks, info = fence.group("lead", "marks", "info") if fence else ("", "", "")
    info = info.strip(f"{_SPACES}{INVISIBLE}\r\n")
    counts = marks.startswith(block.marks) and not (block.marks[0] == "`" and "`" in info)
    near = counts and _columns(lead) <= block.column + 3
    if not block.python and block.info:
        if near and not info:
            return "closes", 0
        return ("reopens", 0) if near and is_python(info) else ("content", None)
    was_in_string, stray = block.string, None
    if not counts or was_in_string:
        stray, block.string = _strings(content, block.string)
    if was_in_string:
        if near and not info:
            if not may_doubt:
                return "closes", 0
            block.quoted = block.quoted or (index, len(block.lines))
        return "content", None
    if counts and (near or block.python):
        if is_python(info) or _LABEL.fullmatch(info):
            return "reopens", 0
        if not info or block.python:
            return "closes", 0
        return "content", None
    if not info and block.python and marks[:1] == block.marks[0] and may_doubt:
        block.short = block.short or (index, len(block.lines))
    if stray is not None and block.python and block.marks[0] == "`" and content[stray:].strip(" \t\r\n") == block.marks:
        return "closes", stray
    return "content", None


def _strings(line: str, opened: str) -> tuple[int | None, str]:
    """(where backticks stand outside of strings and comments, the triple quotes open at the line's end)."""
    at = 0
    while True:
        if opened:
            ended = _END_OF[opened].match(line, at)
            if ended is None:
                return None, opened
            at, opened = ended.end(), ""
        token = _TOKEN.search(line, at)
        if token is None:
            return None, ""
        at = token.end()
        if token[0] in _END_OF:
            opened = token[0]
        elif token[0][0] == "`":
            return token.start(), ""


def _unquoted(line: str, depth: int) -> str:
    return re.sub(rf"\A(?:[ \t]{{0,3}}>[ \t]?){{0,{depth}}}", "", line, count=1)


def _columns(lead: str) -> int:
    width = 0
    for character in lead:
        if character == "\t":
            width += 4 - width % 4
        elif character not in INVISIBLE:
            width += 1
    return width


def _take_off(lines: list[str], column: int) -> Iterator[str]:
    """The lines without the indentation of the fence, or without that of the first of them where it has less."""
    first = next((line for line in lines if line.strip()), "")
    column = min(column, _columns(first[: len(first) - len(first.lstrip(" \t\u00a0"))]))
    for line in lines:
        at = width = 0
        while width < column and line[at : at + 1] in (" ", "\t", "\u00a0"):
            width += 4 - width % 4 if line[at] == "\t" else 1
            at += 1
        yield line[at:]
