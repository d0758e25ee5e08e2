"""Whether what an evaluation asks stands in the training data (contamination), by shared runs of words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from strop.doctor.findings import Finding, Level, Tally
from strop.doctor.words import grams, words

DIRTY = 13
"""One shared run of so many words marks an item in the GPT-3 paper (Brown et al. 2020, arXiv:2005.14165, app. C)."""
RUN = 8
CONTAINED_SHARE, PARTLY_SHARE = 0.8, 0.3
_FEWEST_RUNS = 5
"""Fewer counted runs say too little about an item."""
_PHRASE_ITEMS, _PHRASE_ITEM_SHARE = 2, 0.02
_PHRASE_ROWS, _PHRASE_ROW_SHARE = 10, 0.001


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
    Items of fewer than eight words match only where a message is exactly that. An item of which everything stands in
    one conversation is a copy, whatever phrases it is made of.
    """

    def __init__(self, items: Iterable[EvalItem]):
        self.items = list(items)
        said = [[words(text) for text in item.texts] for item in self.items]
        self._short: dict[str, list[int]] = defaultdict(list)
        for index, texts in enumerate(said):
            if 0 < sum(map(len, texts)) < RUN:
                self._short[" ".join(texts[0])].append(index)
        self._texts = [frozenset(map(_plain, item.texts)) for item in self.items]
        self._wholes: dict[str, list[int]] = defaultdict(list)
        for index, texts in enumerate(self._texts):
            if texts:
                self._wholes[max(texts, key=len)].append(index)
        self._exact: dict[int, list[str]] = defaultdict(list)
        self._every = self._holders(said, RUN)
        self._runs = {n: self._index(said, n) for n in (RUN, DIRTY)}
        self._held: dict[frozenset[str], list[str]] = defaultdict(list)
        self._conversations = 0

    @staticmethod
    def _holders(said: Sequence[Sequence[Sequence[str]]], n: int) -> dict[str, list[int]]:
        """Run of ``n`` words -> the items that hold it."""
        where: dict[str, list[int]] = defaultdict(list)
        for index, texts in enumerate(said):
            for run in {run for text in texts for run in grams(text, n)}:
                where[run].append(index)
        return where

    def _index(self, said: Sequence[Sequence[Sequence[str]]], n: int) -> dict[str, list[int]]:
        """The same without runs that say how a set asks."""
        where = self._holders(said, n)
        size = Counter(item.set for item in self.items)
        kept: dict[str, list[int]] = {}
        for run, holders in where.items():
            by_set = Counter(self.items[i].set for i in holders)
            common = {s for s, k in by_set.items() if k > _PHRASE_ITEMS and k > _PHRASE_ITEM_SHARE * size[s]}
            if holders := [i for i in holders if self.items[i].set not in common]:
                kept[run] = holders
        return kept

    def look(self, place: str, texts: Iterable[str]) -> None:
        """Remember which runs of the items stand in the texts of one training conversation."""
        held: set[str] = set()
        texts = list(texts)
        plain = set(map(_plain, texts))
        for index in {index for text in plain for index in self._wholes.get(text, ())}:
            if self._texts[index] <= plain:
                self._exact[index].append(place)
        for text in texts:
            said = words(text)
            if len(said) < RUN and (whole := " ".join(said)) in self._short:
                held.add(whole)
            for n, index in ((RUN, self._every), (DIRTY, self._runs[DIRTY])):
                held.update(run for run in grams(said, n) if run in index)
        self._conversations += 1
        if held:
            self._held[frozenset(held)].append(place)  # equal ones together: copies are one conversation here

    def matches(self) -> list[Match]:
        """One for each item, in the order of the items."""
        rows = Counter(run for held in self._held for run in held)
        most = max(_PHRASE_ROWS, _PHRASE_ROW_SHARE * self._conversations)
        runs, dirty = (
            {run: holders for run, holders in self._runs[n].items() if rows[run] <= most} for n in (RUN, DIRTY)
        )
        sizes = Counter(index for holders in runs.values() for index in holders)
        all_runs = Counter(index for holders in self._every.values() for index in holders)
        matches = [Match(item) for item in self.items]
        for index, places in self._exact.items():
            matches[index].exact, matches[index].share, matches[index].place = places[0], 1.0, places[0]
            matches[index].places += places
        for held, places in self._held.items():
            counts = Counter(index for run in held for index in runs.get(run, ()))
            shares = {index: k / sizes[index] for index, k in counts.items() if sizes[index] >= _FEWEST_RUNS}
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
                message = f"{{n}} of {len(of_set):,} items of {name} {what} ({_names(found)})"
                yield tally.finding(kind, level, message, mend, name="contamination" if kind == "exact_copy" else None)


_KINDS: dict[str, tuple[Level, str, str]] = {
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


def _names(matches: Sequence[Match]) -> str:
    shown = ", ".join(m.item.name for m in matches[:3])
    return f"{shown} …" if len(matches) > 3 else shown
