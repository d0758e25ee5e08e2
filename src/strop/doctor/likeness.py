"""What is said twice: in the training data, or there and in what an evaluation asks (contamination)."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from strop.chat import Text
from strop.doctor.findings import Finding, Kinds, Tally
from strop.doctor.rows import ReadRow

# Scripts written without spaces count character by character; elsewhere a word is what \w says.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
SHINGLE = 5
THRESHOLD = 0.8
PERMUTATIONS = 128
MOST_NEAR = 200_000
"""Above this many rows near duplicates are not looked for unless asked: about 1 ms and 1 KB a row."""
DIRTY = 13
"""One shared run of so many words marks an item in the GPT-3 paper (Brown et al. 2020, arXiv:2005.14165, app. C)."""
RUN = 8
CONTAINED_SHARE, PARTLY_SHARE = 0.8, 0.3
_FEWEST_RUNS = 5
"""Fewer counted runs say too little about an item."""
_PHRASE_ITEMS, _PHRASE_ITEM_SHARE = 2, 0.02
_PHRASE_ROWS, _PHRASE_ROW_SHARE = 10, 0.001


def words(text: str) -> list[str]:
    """Lower-case words; punctuation and white space are left out."""
    return _WORD.findall(text.casefold())


def grams(sequence: Sequence[str], n: int) -> Iterator[str]:
    """Every run of ``n`` words, joined by spaces; none where there are fewer."""
    return (" ".join(sequence[i : i + n]) for i in range(len(sequence) - n + 1))


@dataclass(frozen=True, slots=True)
class Twin:
    """``row`` says what ``original``, an earlier row, says; ``likeness`` is 1 for exact duplicates."""

    row: ReadRow
    original: ReadRow
    likeness: float = 1.0


def exact(rows: Iterable[ReadRow]) -> list[Twin]:
    """Rows equal to an earlier one in roles and text, letter case and white space aside."""
    return list(_repeated((row, _digest(row)) for row in rows))


def _same_prompt(rows: Iterable[ReadRow]) -> Iterator[Twin]:
    """Rows, none a duplicate, whose messages up to the last answer are those of an earlier row."""
    last = ((row, max((i for i, m in enumerate(row.messages) if m.role == "assistant"), default=0)) for row in rows)
    return _repeated((row, _digest(row, index)) for row, index in last if index)


def _repeated(digests: Iterable[tuple[ReadRow, bytes]]) -> Iterator[Twin]:
    first: dict[bytes, ReadRow] = {}
    for row, digest in digests:
        original = first.setdefault(digest, row)
        if original is not row:
            yield Twin(row, original)


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


def check_duplicates(rows: Sequence[ReadRow], look_for_near: bool) -> list[Finding]:
    """The findings; sets ``gone`` of all twins, exact and near ones (of rows that are no exact twins)."""
    tally, total = Tally(), max(1, len(rows))
    for twin in exact(rows):
        twin.row.gone = f"duplicate of {twin.original.place}"
        tally.add("duplicate", twin.row.place, f"same as {twin.original.place}")
    for twin in near([row for row in rows if not row.gone]) if look_for_near else ():
        twin.row.gone = f"near duplicate ({twin.likeness:.2f}) of {twin.original.place}"
        tally.add("near_duplicate", twin.row.place, f"{twin.likeness:.2f} like {twin.original.place}")
    for twin in _same_prompt(row for row in rows if not row.gone):
        tally.add("same_prompt", twin.row.place, f"as in {twin.original.place}: {twin.row.user_text()}")
    equal, alike = tally.counts["duplicate"] / total, tally.counts["near_duplicate"] / total
    found = tally.findings(
        {
            "duplicate": (
                "warning",
                f"{{n}} ⟨conversation|conversations⟩ ({equal:.1%}) said before, word for word (case and spaces aside)",
                "--fix OUT keeps the first of each; a weight in the mixture says it openly",
            ),
            "near_duplicate": (
                "warning",
                f"{{n}} near ⟨duplicate|duplicates⟩ ({alike:.1%}): at least {THRESHOLD} of their {SHINGLE}-word "
                f"shingles shared (found by MinHash, {PERMUTATIONS} permutations; each one checked)",
                "look at some; --fix OUT keeps one of each",
            ),
            "same_prompt": (
                "note",
                "{n} ⟨conversation|conversations⟩ with the question of an earlier one and another answer",
                "fine if you want several answers; otherwise keep the right one",
            ),
        }
    )
    if not look_for_near:
        message = f"near duplicates were not looked for: there are more than {MOST_NEAR:,} conversations"
        found.append(Finding("near_duplicates_skipped", "note", len(rows), message, "check a part of the data"))
    return found


def _digest(row: ReadRow, messages: int | None = None) -> bytes:
    """Of the first so many messages, or of all of the row."""
    if isinstance(row.conversation, Text):
        return hashlib.sha1(_folded(row.conversation.text).encode()).digest()
    parts = [
        (m.role, _folded(m.content), _folded(m.reasoning_content), [call["function"] for call in m.tool_calls])
        for m in row.messages[:messages]
    ]
    return hashlib.sha1(json.dumps([parts, row.conversation.tools], sort_keys=True, default=str).encode()).digest()


def _folded(text: str | None) -> str:
    return " ".join(unicodedata.normalize("NFKC", text or "").casefold().split())


def _shingles(row: ReadRow) -> frozenset[str]:
    """Runs of five words of everything said; a shorter text is one shingle."""
    calls = [str(m.tool_calls) for m in row.messages if m.tool_calls]
    said = words("\n".join([*row.texts(), *calls]))
    return frozenset(grams(said, SHINGLE)) or frozenset([" ".join(said)])


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b)


@dataclass(frozen=True, slots=True)
class EvalItem:
    """One item of an evaluation set: the texts (prompt, answer …) that should be new to the model."""

    set: str
    name: str
    texts: tuple[str, ...]


@dataclass(slots=True)
class Match:
    """What was found of one item: the best share of its 8-word runs in one conversation, and a shared 13-word run."""

    item: EvalItem
    share: float = 0.0
    place: str = ""
    exact: str = ""
    """Where all of it stands as it is: each of its texts is a message of that conversation (case and spaces aside)."""
    dirty_place: str = ""
    dirty_run: str = ""
    places: list[str] = field(default_factory=list)
    """Every conversation that holds most of the item, or a good part of it and a 13-word run."""

    @property
    def kind(self) -> str | None:
        """How bad it is: a key of `_KINDS`, or None."""
        if self.exact:
            return "exact_copy"
        if self.share >= CONTAINED_SHARE:
            return "contamination"
        if not self.dirty_place:
            return None
        return "overlap" if self.share >= PARTLY_SHARE else "shared_phrase"


class Overlap:
    """An index of evaluation items: `look` at every training conversation, then ask for `matches`.

    Runs of words that say *how* things are asked ("Write a Python program that …") are not counted: those in more
    than 2 items and 2 % of their set, and those in more than 10 different training conversations and 0.1 % of them.
    An item that is such a way of asking with numbers filled in is found only where all of its numbers are.
    Items of fewer than eight words match only where a message is exactly that question, if it has a word. An item of
    which everything stands in one conversation is a copy, whatever phrases it is made of. Neither holds where its
    question is only an answer of the model's: "cba", asked for "abc", is not taught by "abc" answered with "cba".
    """

    def __init__(self, items: Iterable[EvalItem]):
        self.items = list(items)
        said = [[words(text) for text in item.texts] for item in self.items]
        self._short: dict[str, list[int]] = defaultdict(list)
        for index, texts in enumerate(said):
            if texts and texts[0] and sum(map(len, texts)) < RUN:
                self._short[" ".join(texts[0])].append(index)
        self._texts = [frozenset(map(_plain, item.texts)) for item in self.items]
        self._wholes: dict[str, list[int]] = defaultdict(list)
        for index, plain in enumerate(self._texts):
            if plain:
                self._wholes[max(plain, key=len)].append(index)
        self._exact: dict[int, list[str]] = defaultdict(list)
        self._every = _holders(said, RUN)
        self._runs, self._dirty = self._telling(self._every), self._telling(_holders(said, DIRTY))
        self._held: dict[frozenset[str], list[str]] = defaultdict(list)
        self._conversations = 0

    def _telling(self, where: Mapping[str, list[int]]) -> dict[str, list[int]]:
        """Runs and their holders without those that say how a set asks."""
        size = Counter(item.set for item in self.items)
        kept: dict[str, list[int]] = {}
        for run, holders in where.items():
            by_set = Counter(self.items[i].set for i in holders)
            common = {s for s, k in by_set.items() if k > _PHRASE_ITEMS and k > _PHRASE_ITEM_SHARE * size[s]}
            if holders := [i for i in holders if self.items[i].set not in common]:
                kept[run] = holders
        return kept

    def look(self, place: str, texts: Iterable[str], given: Iterable[str] | None = None) -> None:
        """Remember which runs of the items stand in the texts of one training conversation. ``given`` are those that
        are not the model's; all, where it is not known."""
        held: set[str] = set()
        texts = list(texts)
        given = texts if given is None else list(given)
        plain, plain_given = set(map(_plain, texts)), set(map(_plain, given))
        for index in {index for text in plain for index in self._wholes.get(text, ())}:
            if self._texts[index] <= plain and _plain(self.items[index].texts[0]) in plain_given:
                self._exact[index].append(place)
        for text in given:
            said = words(text)
            if len(said) < RUN and (whole := " ".join(said)) in self._short:
                held.add(whole)
        for text in texts:
            said = words(text)
            for n, known in ((RUN, self._every), (DIRTY, self._dirty)):
                held.update(run for run in grams(said, n) if run in known)
        self._conversations += 1
        if held:
            self._held[frozenset(held)].append(place)  # equal ones together: copies are one conversation here

    def matches(self) -> list[Match]:
        """One for each item, in the order of the items."""
        rows = Counter(run for held in self._held for run in held)
        most = max(_PHRASE_ROWS, _PHRASE_ROW_SHARE * self._conversations)
        runs, dirty = (
            {run: holders for run, holders in index.items() if rows[run] <= most} for index in (self._runs, self._dirty)
        )
        sizes = Counter(index for holders in runs.values() for index in holders)
        all_runs = Counter(index for holders in self._every.values() for index in holders)
        matches = [Match(item) for item in self.items]
        numbers = self._own_numbers(runs, sizes, all_runs)
        for index, places in self._exact.items():
            matches[index].exact, matches[index].share, matches[index].place = places[0], 1.0, places[0]
            matches[index].places += places
        for held, places in self._held.items():
            counts = Counter(index for run in held for index in runs.get(run, ()))
            shares = {index: k / sizes[index] for index, k in counts.items() if sizes[index] >= _FEWEST_RUNS}
            for index in shares.keys() & numbers.keys():
                shared = {word for run in held if index in runs.get(run, ()) for word in run.split() if _counts(word)}
                shares[index] *= numbers[index] <= shared
            shares |= {index: 1.0 for run in held for index in self._short.get(run, ())}
            whole = Counter(index for run in held for index in self._every.get(run, ()))
            shares |= {index: 1.0 for index, k in whole.items() if k == all_runs[index] >= _FEWEST_RUNS}
            for index, share in shares.items():
                if share > matches[index].share:
                    matches[index].share, matches[index].place = share, places[0]
            touched = {index for index, share in shares.items() if share >= CONTAINED_SHARE}
            for run in sorted(held & dirty.keys()):
                for index in dirty[run]:
                    if shares.get(index, 0.0) >= PARTLY_SHARE:
                        touched.add(index)
                    if not matches[index].dirty_place:
                        matches[index].dirty_place, matches[index].dirty_run = places[0], run
            for index in touched:
                matches[index].places += [place for place in places if place not in matches[index].places]
        return matches

    def _own_numbers(
        self, runs: Mapping[str, list[int]], sizes: Mapping[int, int], all_runs: Mapping[int, int]
    ) -> dict[int, set[str]]:
        """Of items that are a set's pattern filled in (some of their runs say how it asks), the numbers filled in.

        Only all of them together make such an item: of two, each in its place among characters that count as words,
        one alone may stand in most of the runs.
        """
        filled: dict[int, set[str]] = defaultdict(set)
        for run, holders in runs.items():
            for index in holders:
                if sizes[index] < all_runs[index]:
                    filled[index].update(word for word in run.split() if _counts(word))
        return filled


def _counts(word: str) -> bool:
    return any(letter.isdecimal() for letter in word)


def _holders(said: Sequence[Sequence[Sequence[str]]], n: int) -> dict[str, list[int]]:
    """Run of ``n`` words -> the items that hold it."""
    where: dict[str, list[int]] = defaultdict(list)
    for index, texts in enumerate(said):
        for run in {run for text in texts for run in grams(text, n)}:
            where[run].append(index)
    return where


def check_overlap(matches: Sequence[Match]) -> Iterator[Finding]:
    """Per evaluation set: items that are in the data for the most part, in part, and with no more than a phrase."""
    sets: dict[str, list[Match]] = defaultdict(list)
    for match in matches:
        sets[match.item.set].append(match)
    for name, of_set in sets.items():
        for kind, (level, what, mend) in _KINDS.items():
            found = sorted((m for m in of_set if m.kind == kind), key=lambda m: -m.share)
            if found:
                tally = Tally()
                for match in found:
                    shown = match.dirty_run and f"… {match.dirty_run} …"
                    place = match.dirty_place if kind == "shared_phrase" else match.place
                    tally.add(kind, place, f"{match.item.name}, {match.share:.0%}: {shown or match.item.texts[0]}")
                names = ", ".join(m.item.name for m in found[:3]) + (" …" if len(found) > 3 else "")
                message = f"{{n}} of {len(of_set):,} items of {name} {what} ({names})"
                yield tally.finding(kind, level, message, mend, name="contamination" if kind == "exact_copy" else None)


_KINDS: Kinds = {
    "exact_copy": (
        "error",
        "⟨is an exact copy|are exact copies⟩ of training data",
        "take them out (--fix OUT does), or the result says nothing about new conversations; eval_data: "
        "{fraction: 0.1} holds rows out",
    ),
    "contamination": (
        "error",
        f"⟨stands|stand⟩ in training data: {CONTAINED_SHARE:.0%} or more of the {RUN}-word runs in one conversation",
        "take them out (--fix OUT does), or the result says nothing about new problems",
    ),
    "overlap": (
        "warning",
        f"⟨overlaps|overlap⟩ with training data: {DIRTY} words in a row, and {PARTLY_SHARE:.0%} of the {RUN}-word runs",
        "look at them: the same source is bad, the same way of putting things is not; --fix OUT takes them out",
    ),
    "shared_phrase": (
        "note",
        f"⟨shares|share⟩ {DIRTY} words in a row with the training data, and little else",
        "nothing, as a rule: a common phrase; look at one or two",
    ),
}


def contaminated(matches: Iterable[Match]) -> dict[str, str]:
    """Place -> why, of every training conversation that overlaps with an item."""
    reasons: dict[str, str] = {}
    for match in matches:
        for place in match.places:
            reasons.setdefault(place, f"overlap with {match.item.set}: {match.item.name}")
    return reasons


def _plain(text: str) -> str:
    """Letter case, punctuation and white space aside; of what has no word in it, all but the space around it."""
    return " ".join(words(text)) or text.strip()
