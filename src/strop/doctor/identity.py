"""A system line that the template writes by itself, and answers that say to be somebody else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import takewhile

from strop.chat import Inspection
from strop.doctor.findings import Finding, Tally
from strop.doctor.rows import ReadRow

_LINE = re.compile(r"You are [^\n<|]{3,200}|You're [^\n<|]{3,200}|你是[^\n<|]{2,100}")
_NAMED = re.compile(r"(?:\bnamed|\bcalled|You are|你是|名为|名叫)\s*([A-Z][\w.+-]*)")
_SELF = re.compile(
    r"(?:\b(?:I am|I'm|I’m|[Mm]y name is|I am called|[Yy]ou can call me|This is)\s+"
    r"|我是|我叫|我的名字是|名叫|名字叫)\s*"
    r"(?P<name>\{\{\s*\w+\s*\}\}|<[A-Z_ ]+>|\[[^\]\n]{2,30}\]|[A-Z][A-Za-z0-9.+-]+)"
)
_WORDS = frozenset(("I", "A", "An", "The", "AI", "Sorry", "Not", "Here", "Just", "Very", "Glad", "Happy", "Unable"))
_ASKED = re.compile(
    r"(?i)\bwho (?:are|made|created|built|trained) you|\byour name\b|你是谁|你叫什么|谁(?:开发|创造|训练)"
)
_FEWEST = 3


class Identity:
    """Looks at conversations one by one; afterwards `findings` says whether template and answers differ on a name."""

    line = ""

    def look(self, row: ReadRow, inspection: Inspection) -> None:
        """``inspection``: of the row, or of its beginning."""
        if self.line or not row.messages or _has_system(row):
            return
        before = takewhile(lambda segment: segment.message is None or segment.message < 0, inspection.segments)
        if match := _LINE.search("".join(segment.text for segment in before if segment.message is None)):
            self.line = match[0].strip()

    def findings(self, rows: Sequence[ReadRow]) -> list[Finding]:
        """A warning where the line names a model and several answers name themselves otherwise."""
        if not self.line:
            return []
        mine = {name.casefold() for name in _NAMED.findall(self.line)}
        tally, names = Tally(), Counter[str]()
        for row in rows:
            if _has_system(row):
                continue
            said = next((name for text in row.answers() for name in _names(text)), None)
            if said is None or said.casefold() in mine:
                continue
            if said.startswith(("{", "<", "[")) or _ASKED.search(row.user_text()):
                names[said] += 1
                tally.add("default_system", row.place, f"{said}: {next(row.answers(), '')}")
        if names.total() < _FEWEST:
            return []
        message = (
            f"in {{n}} ⟨conversation|conversations⟩ the answer says who it is ({names.most_common(1)[0][0]}, mostly), "
            f"after a line that the template writes by itself where there is no system message: {self.line!r}"
        )
        mend = "give the rows a system message of your own (an empty one may do), or use another chat.template"
        return tally.findings({"default_system": ("warning", message, mend)})


def _has_system(row: ReadRow) -> bool:
    return any(m.role in ("system", "developer") for m in row.messages)


def _names(text: str) -> Iterator[str]:
    for match in _SELF.finditer(text):
        if match["name"] not in _WORDS:
            yield match["name"].rstrip(".,")
