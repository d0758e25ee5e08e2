"""The same conversation twice, nearly the same, and the same question with another answer."""

from __future__ import annotations

import hashlib
import json
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from strop.chat import Text
from strop.doctor.findings import Finding, Tally
from strop.doctor.rows import ReadRow
from strop.doctor.words import grams, words

SHINGLE = 5
THRESHOLD = 0.8
PERMUTATIONS = 128
MOST_NEAR = 200_000
"""Above this many rows near duplicates are not looked for unless asked: about 1 ms and 1 KB a row."""


@dataclass(frozen=True, slots=True)
class Twin:
    """``row`` says what ``original``, an earlier row, says; ``likeness`` is 1 for exact duplicates."""

    row: ReadRow
    original: ReadRow
    likeness: float = 1.0


def exact(rows: Sequence[ReadRow]) -> list[Twin]:
    """Rows equal to an earlier one in roles and text, letter case and white space aside."""
    first: dict[bytes, ReadRow] = {}
    twins = []
    for row in rows:
        original = first.setdefault(_digest(row), row)
        if original is not row:
            twins.append(Twin(row, original))
    return twins


def near(rows: Sequence[ReadRow]) -> Iterator[Twin]:
    """Rows whose sets of word 5-shingles overlap with an earlier, kept row's by at least 0.8 (Jaccard).

    Candidates come from MinHash and locality-sensitive hashing (Broder 1997; Leskovec et al., Mining of Massive
    Datasets, ch. 3), and the true overlap of each is computed, so none is a false alarm. Some are missed: at 0.8
    about 1 in 70, at 0.9 practically none. A row that is a twin is no original for later rows, so of every group
    one row is left that all others resemble.
    """
    from datasketch import MinHash, MinHashLSH  # a second to import

    # Candidates are checked, so a false one only costs time: 18 bands of 7 rows miss (1 - 0.8**7)**18 = 1.4 % at 0.8.
    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, params=(18, 7))
    sketches: dict[int, MinHash] = {}
    blank = MinHash(num_perm=PERMUTATIONS, hashfunc=zlib.crc32)  # datasketch mixes the 32 bits further
    for number, row in enumerate(rows):
        shingles = _shingles(row)
        sketch = blank.copy()
        sketch.update_batch(shingle.encode() for shingle in shingles)
        # The sketches' own estimate has a standard deviation of at most 0.044: below 0.6 none reaches the threshold.
        likely = [i for i in index.query(sketch) if sketch.jaccard(sketches[i]) > 0.6]
        best = max(((_jaccard(shingles, _shingles(rows[i])), -i) for i in likely), default=(0, 0))
        if best[0] >= THRESHOLD:
            yield Twin(row, rows[-best[1]], best[0])
        else:
            sketches[number] = sketch
            index.insert(number, sketch, check_duplication=False)


def check_duplicates(rows: Sequence[ReadRow], look_for_near: bool) -> tuple[list[Finding], list[Twin], list[Twin]]:
    """The findings, the exact twins and the near ones (of rows that are no exact twins)."""
    equal = exact(rows)
    gone = {id(twin.row) for twin in equal}
    rest = [row for row in rows if id(row) not in gone]
    alike = list(near(rest)) if look_for_near else []
    tally = Tally()
    for twin in equal:
        tally.add("duplicate", twin.row.place, f"same as {twin.original.place}")
    for twin in alike:
        tally.add("near_duplicate", twin.row.place, f"{twin.likeness:.2f} like {twin.original.place}")
    similar = {id(twin.row) for twin in alike}
    for row, other in _same_prompt([row for row in rest if id(row) not in similar]):
        tally.add("same_prompt", row.place, f"as in {other.place}: {row.user_text()}")
    found = []
    if equal:
        share = len(equal) / len(rows)
        message = f"{{n}} ⟨conversation|conversations⟩ ({share:.1%}) said before, word for word (case and spaces aside)"
        mend = "--fix OUT keeps the first of each; a weight in the mixture says it openly"
        found.append(tally.finding("duplicate", "warning", message, mend))
    if alike:
        message = (
            f"{{n}} near ⟨duplicate|duplicates⟩ ({len(alike) / len(rows):.1%}): at least {THRESHOLD} of their "
            f"{SHINGLE}-word shingles shared (found by MinHash, {PERMUTATIONS} permutations; each one checked)"
        )
        found.append(tally.finding("near_duplicate", "warning", message, "look at some; --fix OUT keeps one of each"))
    if tally.counts["same_prompt"]:
        message = "{n} ⟨conversation|conversations⟩ with the question of an earlier one and another answer"
        mend = "fine if you want several answers; otherwise keep the right one"
        found.append(tally.finding("same_prompt", "note", message, mend))
    if not look_for_near:
        message = f"near duplicates were not looked for: there are more than {MOST_NEAR:,} conversations"
        found.append(Finding("near_duplicates_skipped", "note", len(rows), message, "check a part of the data"))
    return found, equal, alike


def _same_prompt(rows: Sequence[ReadRow]) -> Iterator[tuple[ReadRow, ReadRow]]:
    """Rows, none a duplicate, whose messages up to the last answer are those of an earlier row."""
    first: dict[bytes, ReadRow] = {}
    for row in rows:
        last = max((i for i, message in enumerate(row.messages) if message.role == "assistant"), default=0)
        if last == 0:
            continue
        original = first.setdefault(_digest(row, last), row)
        if original is not row:
            yield row, original


def _digest(row: ReadRow, messages: int | None = None) -> bytes:
    """Of the first so many messages, or of all of the row."""
    if isinstance(row.conversation, Text):
        return hashlib.sha1(_plain(row.conversation.text).encode()).digest()
    parts = [
        (m.role, _plain(m.content), _plain(m.reasoning_content), [call["function"] for call in m.tool_calls])
        for m in row.messages[:messages]
    ]
    return hashlib.sha1(json.dumps([parts, row.conversation.tools], sort_keys=True, default=str).encode()).digest()


def _plain(text: str | None) -> str:
    return " ".join(unicodedata.normalize("NFKC", text or "").casefold().split())


def _shingles(row: ReadRow) -> frozenset[str]:
    """Runs of five words of everything said; a shorter text is one shingle."""
    calls = [str(m.tool_calls) for m in row.messages if m.tool_calls]
    said = words("\n".join([*row.texts(), *calls]))
    return frozenset(grams(said, SHINGLE)) or frozenset([" ".join(said)])


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b)
