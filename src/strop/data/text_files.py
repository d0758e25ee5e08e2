"""Plain text: a file, its blocks between blank lines, or its lines as documents; or JSON under a text's name."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Literal

from strop.chat.text import Document
from strop.common.errors import InputError
from strop.data.json_files import json_lines
from strop.data.rows import OnBad, Row, Say, opened, reading, silent

Documents = Literal["file", "paragraph", "line"]


def text_rows(
    path: Path, on_bad: OnBad | None = None, say: Say = silent, documents: Documents = "file"
) -> Iterator[Row]:
    """One row ``{"text": …}`` a document; the place is the line on which it begins.

    Line ends of Windows become plain ones, and documents of white space alone are passed over. A file that holds JSON
    objects is read as its rows.

    Raises InputError where the text is not UTF-8, or holds NUL characters.
    """
    if _holds_objects(path):
        say(f"{path}: JSON objects, read as rows and not as text")
        yield from json_lines(path, on_bad)
        return
    count, ends = 0, ""
    with reading(path), opened(path) as file:

        def lines() -> Iterator[str]:
            nonlocal ends
            # A carriage return alone is a character like others.
            for number, line in enumerate(io.TextIOWrapper(file, encoding="utf-8-sig", newline="\n"), start=1):
                if "\0" in line:
                    raise InputError(
                        f"{path}:{number}: holds a NUL character, so it is not plain text (or it is UTF-16); "
                        "save it as UTF-8, or leave it out."
                    )
                if line.endswith("\r\n"):
                    ends = "; its Windows line ends are read as plain ones"
                    line = line[:-2] + "\n"
                yield line

        for number, text in _cut(lines(), documents):
            if text.strip():
                count += 1
                yield f"{path}:{number}", Document(text=text)
    said = {"file": "one document", "paragraph": f"{count:,} documents (blocks between blank lines)"}
    what = said.get(documents, f"{count:,} documents (lines)")
    say(f"{path}: plain text, of which everything is trained: {what}{ends}")


def _cut(lines: Iterable[str], documents: Documents) -> Iterator[tuple[int, str]]:
    """``(number of its first line, text)`` of each document; a block or a line without the newline that ends it."""
    if documents == "file":
        yield 1, "".join(lines)
    elif documents == "line":
        yield from ((number, line.removesuffix("\n")) for number, line in enumerate(lines, start=1))
    else:
        numbered = enumerate(lines, start=1)
        for blank, block in groupby(numbered, key=lambda line: not line[1].strip()):
            if not blank:
                number, first = next(block)
                yield number, (first + "".join(line for _, line in block)).removesuffix("\n")


def _holds_objects(path: Path) -> bool:
    """Whether the text begins with a JSON object, or a list of them, and not with a word."""
    with reading(path), opened(path) as file:
        first = next((line for line in file if line.strip()), b"").removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if first not in (b"{", b"["):
        return False
    try:
        return next(json_lines(path), None) is not None
    except InputError:
        return False
