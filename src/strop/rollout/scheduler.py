"""Which tokens are computed in the next step: rows that decode, pieces of prompts, and who has to wait for memory.

Rows enter and leave at every step. A long prompt is computed in pieces beside the rows that decode. Where memory ends,
the row that came last is put back and goes on later, with the tokens that it has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from strop.model.kv_cache import CachedRow, KVCache, PagedLayout
from strop.model.segments import PAGE
from strop.rollout.prefix_cache import PrefixCache

STEP_TOKENS = 512
"""Tokens of a step in which rows decode: a prompt's pieces are so long, and no decoding row waits longer for them."""
PREFILL_TOKENS = 2048
"""Tokens of a step in which nothing decodes."""


@dataclass(eq=False)
class Branch:
    """One sequence: ``tokens``, of which those before ``computed`` have keys and values in ``pages``.

    Log-probabilities are asked for from place ``first`` on (those of the token after each place). The first ``prompt``
    tokens were given, the others drawn. ``owner`` is what the engine knows of it; here it is not looked at.
    """

    tokens: list[int]
    first: int
    owner: object
    prompt: int
    computed: int = 0
    pages: list[int] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Tokens without keys and values yet."""
        return len(self.tokens) - self.computed


@dataclass(frozen=True)
class Part:
    """What a step computes of a branch, and where its answers stand in the step's."""

    branch: Branch
    count: int
    places: range  # the branch's places that are asked for
    answers: range  # of the step's asked positions, one each


class Scheduler:
    """Deals out the pages of ``cache`` to branches; at most ``max_rows`` of them at a time."""

    def __init__(self, cache: KVCache, max_rows: int, limit: int):
        self.cache, self.max_rows = cache, max_rows
        self.prefixes = PrefixCache(limit, cache.grow, lambda source, target: cache.copy([source], [target]))
        self.waiting: deque[Branch] = deque()
        self.running: list[Branch] = []

    def add(self, branches: Iterable[Branch]) -> None:
        self.waiting.extend(branches)

    def fork(self, parent: Branch, tokens: list[int], first: int, owner: object, prompt: int) -> Branch:
        """A branch that begins with all that is computed of ``parent``, whose keys and values it shares.

        It runs at once where there is room, or waits, in front of the others.
        """
        branch = Branch(tokens, first, owner, prompt)
        whole, part = divmod(parent.computed, PAGE)
        if len(self.running) < self.max_rows:
            copied = self.prefixes.copy(parent.pages[whole]) if part else None
            if copied is not None or not part:
                own = [] if copied is None else [copied]
                branch.pages = self.prefixes.hold(parent.pages[:whole]) + own
                branch.computed = parent.computed
                self.running.append(branch)
                return branch
        self.waiting.appendleft(branch)
        return branch

    def drop(self, branch: Branch) -> None:
        """A branch is at its end; what is computed of it stays known as long as there is room."""
        if branch in self.running:
            self.running.remove(branch)
            self._give_back(branch)
        else:
            self.waiting.remove(branch)

    def step(self) -> tuple[CachedRow, list[Part]] | None:
        """The next row to compute and what it is made of; None where nothing is left to do."""
        counts: dict[Branch, int] = {}
        for branch in list(self.running):  # who decodes comes first; who came last gives way
            if branch in self.running and branch.left == 1 and self._room(branch, 1):
                counts[branch] = 1
        budget = max(STEP_TOKENS - len(counts), PAGE) if counts else PREFILL_TOKENS
        for branch in list(self.running):
            if branch in self.running and branch.left > 1 and budget > 0:
                budget -= self._plan(branch, counts, budget)
        while self.waiting and len(self.running) < self.max_rows and budget > 0:
            branch = self.waiting[0]
            if not self._enter(branch, bool(counts)):
                break
            self.waiting.popleft()
            self.running.append(branch)
            budget -= self._plan(branch, counts, budget)
        counts = {branch: n for branch, n in counts.items() if branch in self.running}
        if not counts:
            return None
        return self._row(counts)

    def done(self, parts: list[Part]) -> None:
        """The step's keys and values are there."""
        self.prefixes.computed()
        for part in parts:
            part.branch.computed += part.count

    def _enter(self, branch: Branch, others: bool) -> bool:
        """Give a waiting branch what is known of its beginning and room for the rest; False: it waits on.

        From the first place that is asked for on, all is computed, though it be known: what is shared has no answers.
        """
        pages, computed = self.prefixes.match(branch.tokens[: min(branch.first, len(branch.tokens) - 1)])
        missing = -(-(len(branch.tokens) + 1) // PAGE) - len(pages)
        taken = self.prefixes.take(missing)
        if taken is None:
            self.prefixes.release(pages)
            if not others and not self.running:
                raise AssertionError("a branch that is alone finds no room; the engine refuses such requests.")
            return False
        branch.pages, branch.computed = pages + taken, computed
        return True

    def _room(self, branch: Branch, count: int) -> bool:
        """Have pages for ``count`` tokens more, if need be of branches that came last; False if it is put back."""
        missing = -(-(branch.computed + count) // PAGE) - len(branch.pages)
        if missing <= 0:
            return True
        while (taken := self.prefixes.take(missing)) is None:
            last = self.running[-1]
            self._put_back(last)
            if last is branch:
                return False
        branch.pages += taken
        return True

    def _plan(self, branch: Branch, counts: dict[Branch, int], budget: int) -> int:
        count = min(branch.left, budget)
        if not self._room(branch, count):
            return 0
        counts[branch] = count
        self.prefixes.insert(branch.tokens[: branch.computed + count], branch.pages, ready=False)
        return count

    def _put_back(self, branch: Branch) -> None:
        self.running.remove(branch)
        self._give_back(branch)
        self.waiting.appendleft(branch)

    def _give_back(self, branch: Branch) -> None:
        self.prefixes.insert(branch.tokens[: branch.computed], branch.pages, ready=True)
        self.prefixes.release(branch.pages)
        branch.pages, branch.computed = [], 0

    def _row(self, counts: dict[Branch, int]) -> tuple[CachedRow, list[Part]]:
        parts: list[Part] = []
        tokens: list[int] = []
        asked: list[int] = []
        for branch, count in counts.items():
            begin, end = branch.computed, branch.computed + count
            places = range(max(begin, branch.first), end)
            answers = range(len(asked), len(asked) + len(places))
            asked += range(len(tokens) + places.start - begin, len(tokens) + count) if places else ()
            parts.append(Part(branch, count, places, answers))
            tokens += branch.tokens[begin:end]
        lengths = tuple(branch.computed + count for branch, count in counts.items())
        tables, prompts = tuple(b.pages for b in counts), tuple(b.prompt for b in counts)
        layout = PagedLayout(self.cache, tuple(counts.values()), lengths, tables, prompts)
        return layout.row(tokens, asked), parts
