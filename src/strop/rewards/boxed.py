"""Which ``\\boxed{}`` of a text is its result: the last, as in the code that came with MATH (Hendrycks et al. 2021).

``\\fbox{3}`` and ``\\boxed 3`` are read as that code reads them. Several count together only where nothing but commas,
"and", "or" and names of unknowns stand between them: ``\\boxed{1} and \\boxed{2}``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PIECES = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*(?P<open>\{)?|\\.|[{}]", re.DOTALL)
_WITHOUT_BRACES = re.compile(r"[^$\n]*?(?=\$|\\\)|\\\])|\S+")  # to the end of the mathematics, or one word
_AND = r"(?:and|or|also|及|和|或|与|與)"
_BETWEEN = re.compile(
    rf"(?:[\s$,;，、；]|\\[,;:! ()\[\]]|\\q?quad\b|\\(?:text|mbox|mathrm)\s*\{{\s*(?:{_AND}|,)?\s*\}}|\b{_AND}\b"
    r"|\\?[a-zA-Z]+(?:_\{?\w+\}?)?\s*=)*"
)
_ENDS_PARAGRAPH = re.compile(r"\n\s*\n")
_EMPTY = re.compile(r"\\(?:boxed|fbox)\s*\{\s*\}")  # as an instruction that is repeated has it
_MOST_TOGETHER = 6  # as many expressions side by side as math-verify reads


class Box(NamedTuple):
    """``text[start:end]`` is the box, ``content`` what it holds."""

    start: int
    end: int
    content: str


def boxes(text: str) -> list[Box]:
    """The boxes of a text that are closed and hold something, in order; of boxes in boxes the inner ones.

    A brace after a backslash closes nothing.
    """
    found: list[Box] = []
    waiting: list[tuple[int, int] | None] = []  # of open braces: where a box and its content begin
    for piece in _PIECES.finditer(text):
        is_box = piece[0].startswith(("\\boxed", "\\fbox"))
        if piece[0] == "{" or piece["open"]:
            waiting.append((piece.start(), piece.end()) if is_box else None)
        elif piece[0] == "}" and waiting:
            if (began := waiting.pop()) is not None:
                found.append(Box(began[0], piece.end(), text[began[1] : piece.start()]))
        elif is_box and (bare := _WITHOUT_BRACES.match(text, piece.end())):
            content = bare[0].strip().rstrip(".,;")
            found.append(Box(piece.start(), piece.end() + len(bare[0].rstrip()), content))
    found = sorted(box for box in found if box.content.strip())
    return [box for n, box in enumerate(found) if n + 1 == len(found) or found[n + 1].start >= box.end]


def whole_boxes(text: str) -> list[Box]:
    """Those of a text that was cut off which nothing more could be added to."""
    return [box for box in boxes(text) if box.end < len(text) or text.endswith("}")]


def last_boxes(text: str) -> list[Box]:
    """The last box, and those before it that say the result together with it; nothing where there is none."""
    found = boxes(text)
    first = len(found) - 1
    while first > 0 and _go_together(text, found[first - 1], found[first]):
        first -= 1
    return found[max(first, 0) :]


def _go_together(text: str, one: Box, other: Box) -> bool:
    between = text[one.end : other.start]
    joined = re.search(rf"[,;，、；]|{_AND}", between) or "\n" not in between
    return bool(joined and not _ENDS_PARAGRAPH.search(between) and _BETWEEN.fullmatch(between))


def boxed(result: str) -> str:
    """A result in ``\\boxed{}``; of a text that has boxes, its last result (`with_result_alone_boxed`)."""
    return with_result_alone_boxed(result) if boxes(result) else f"\\boxed{{{result}}}"


def with_result_alone_boxed(text: str) -> str:
    """The text with its last result in ``\\boxed{}``, and no other box; without any it stays as it is, but for empty
    boxes."""
    text = _EMPTY.sub("", text)
    last = last_boxes(text)
    if not last:
        return text
    contents = list(dict.fromkeys(box.content.strip() for box in last))
    if len(contents) > 1 and not any("$" in content for content in contents):
        if len(contents) > _MOST_TOGETHER:
            return f"$\\boxed{{{', '.join(contents)}}}$"
        return " and ".join(f"$\\boxed{{{content}}}$" for content in contents)
    kept, at = [], 0
    for box in boxes(text):
        content = box.content if box.start < last[0].start else f"\\boxed{{{box.content}}}"
        kept += [text[at : box.start], content]
        at = box.end
    return "".join([*kept, text[at:]])
