"""Conversations as one HTML page that needs no network: what is in it is put together here, its look and behaviour in
the files beside."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any

from markupsafe import Markup

from strop.common.files import atomic_writer
from strop.common.visible import one_line
from strop.inspector.look import Found, Look
from strop.inspector.subject import Tools
from strop.inspector.terminal import FIELDS, report_lines
from strop.web import render, script_data

HERE = Path(__file__).parent

MOST_CONVERSATIONS = 5000
MOST_BYTES = 64 * 2**20
_REJECTED = 200  # rejected rows that are listed


class Page:
    """A page about ``data``, made into tokens with ``tools``.

    It holds at most `MOST_BYTES` of conversations; ``cut`` says whether there was more.
    """

    def __init__(self, data: str, tools: Tools):
        self.data, self.tools, self.cut = data, tools, False
        self.entries: list[str] = []
        self._parts: dict[str, int] = {}

    def fill(self, found: Iterable[Found]) -> None:
        size = 0
        for one in found:
            entry = str(script_data(_entry(one, self._parts.setdefault(one.part, len(self._parts)))))
            size += len(entry.encode())
            if size > MOST_BYTES and self.entries:
                self.cut = True
                return
            self.entries.append(entry)

    def write(self, path: Path, look: Look, cut: bool) -> None:
        """All at once. ``cut``: the page says that the data goes on. Raises OSError as writing does."""
        html = render(
            [HERE],
            "page.html",
            styles=["style.css"],
            scripts=["script.js"],
            data=one_line(self.data),
            tokenizer=one_line(self.tools.name),
            stops=[one_line(token) for token in self.tools.stops],
            report=report_lines(look),
            rejected=[one_line(rejected.reason) for rejected in look.rejected[:_REJECTED]],
            n_rejected=len(look.rejected),
            n_rows=look.rows,
            cut=cut,
            meta=script_data({"parts": [one_line(part) for part in self._parts], "fields": FIELDS}),
            entries=Markup(",\n".join(self.entries)),
        )
        with atomic_writer(path) as file:
            file.write(html)


def _entry(found: Found, part: int) -> dict[str, Any]:
    """A conversation as the script reads it; offsets are in UTF-16 units, as JavaScript counts."""
    inspection = found.inspection
    at = _utf16(inspection.text)
    starts = [at[start] for start in inspection.starts]
    lengths = [at[end] - start for start, end in zip(starts, inspection.ends, strict=False)]
    return {
        "index": found.index,
        "part": part,
        "place": one_line(inspection.place),
        "text": inspection.text,
        "ids": inspection.example.tokens,
        "steps": [start - before for before, start in pairwise([0, *starts])],
        "lengths": lengths,
        "weights": [[len(list(same)), weight] for weight, same in groupby(inspection.example.loss_weights)],
        "stops": inspection.stops,
        "segments": [[at[s.start], s.message, s.role, s.field] for s in inspection.segments],
        "warnings": [[w.kind, w.message, w.words] for w in inspection.warnings],
        "trained": inspection.example.trained_tokens,
        "turns": len(inspection.example.turns),
        "roles": sorted({segment.role for segment in inspection.segments if segment.role is not None}),
    }


def _utf16(text: str) -> list[int] | range:
    """``[len(text) + 1]``: where each character stands when the text is counted in UTF-16 units."""
    if text.isascii() or max(text) <= "\uffff":
        return range(len(text) + 1)
    return list(accumulate((2 if character > "\uffff" else 1 for character in text), initial=0))
