"""Pages of a key/value cache: which are free, who uses them, and which hold the beginning of a known sequence.

Known beginnings are a radix tree over token ids, a page of tokens to a node. A page is used by sequences and by the
tree; what only the tree uses can be given away, the least recently used first.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from strop.model.segments import PAGE


@dataclass(eq=False)
class Node:
    """A page of tokens, or less at the end of a branch, after those of its parents. ``ready``: it is computed."""

    tokens: tuple[int, ...]
    page: int
    parent: Node | None
    children: dict[tuple[int, ...], Node] = field(default_factory=dict)
    order: list[tuple[int, ...]] = field(default_factory=list)  # the children's tokens, sorted
    ready: bool = False
    used: int = 0

    def add(self, child: Node) -> Node:
        self.children[child.tokens] = child
        insort(self.order, child.tokens)
        return child

    def remove(self, child: Node) -> None:
        del self.children[child.tokens]
        del self.order[bisect_left(self.order, child.tokens)]

    def nearest(self, tokens: tuple[int, ...]) -> tuple[int, Node | None]:
        """How many tokens the ready child that begins most like ``tokens`` has in common with them, and that child.

        In sorted order it is next to where they would stand: with thousands of short prompts, others are not looked at.
        """
        place = bisect_left(self.order, tokens)
        sides = (range(place, len(self.order)), range(place - 1, -1, -1))
        near = (next((c for i in side if (c := self.children[self.order[i]]).ready), None) for side in sides)
        return max(((_alike(c.tokens, tokens), c) for c in near if c), key=lambda one: one[0], default=(0, None))

    def begins(self, tokens: tuple[int, ...]) -> bool:
        """Whether some child begins with all of ``tokens``."""
        place = bisect_left(self.order, tokens)
        return place < len(self.order) and self.order[place][: len(tokens)] == tokens


class PrefixCache:
    """At most ``limit`` pages; ``grow(pages)`` makes more of them, ``copy(source, target)`` copies one.

    A sequence holds each of its pages once (`take`, `match`) and gives it back once (`release`).
    """

    def __init__(self, limit: int, grow: Callable[[int], None], copy: Callable[[int, int], None]):
        self.limit, self._grow, self._copy = limit, grow, copy
        self.uses: list[int] = []  # of each page: sequences that hold it, and the tree
        self.free: list[int] = []
        self.root = Node((), -1, None, ready=True)
        self._clock = 0
        self._fresh: list[Node] = []

    def take(self, count: int) -> list[int] | None:
        """Pages for new tokens; None, and nothing is taken, where there are not so many.

        Pages that the tree alone holds are given away before more are made, if they are more than those that sequences
        hold and more than an eighth of the limit: memory that is asked for once is not kept for good.
        """
        missing = count - len(self.free)
        if missing > 0:
            idle = sum(self.uses[n.page] == 1 for n in self._nodes())
            if idle > max(len(self.uses) - len(self.free) - idle, self.limit // 8):
                missing -= self._evict(missing)
            missing -= self._more(missing)
            missing -= self._evict(missing)
        if missing > 0:
            return None
        taken = [self.free.pop() for _ in range(count)]
        for page in taken:
            self.uses[page] = 1
        return taken

    def _more(self, count: int) -> int:
        """Have at least ``count`` pages more, and half as many again, up to the limit; how many there are more."""
        there = len(self.uses)
        more = min(self.limit - there, max(count, there // 2)) if count > 0 else 0
        if more:
            self._grow(there + more)
            self.free += range(there + more - 1, there - 1, -1)
            self.uses += [0] * more
        return more

    def hold(self, pages: Sequence[int]) -> list[int]:
        """The same pages, held once more."""
        for page in pages:
            self.uses[page] += 1
        return list(pages)

    def release(self, pages: Sequence[int]) -> None:
        for page in pages:
            self.uses[page] -= 1
            if not self.uses[page]:
                self.free.append(page)

    def copy(self, page: int) -> int | None:
        """A new page with what is in ``page``; None where there is no room for it."""
        taken = self.take(1)
        if taken is None:
            return None
        self._copy(page, taken[0])
        return taken[0]

    def match(self, tokens: Sequence[int]) -> tuple[list[int], int]:
        """Pages of the longest known beginning of ``tokens``, now held, and how many tokens of it they hold.

        Whole pages are shared, also those that the coming step computes; of a page that begins alike there is a copy.
        """
        self._clock += 1
        node = self.root
        pages: list[int] = []
        while True:
            rest = tuple(tokens[len(pages) * PAGE : (len(pages) + 1) * PAGE])
            after = node.children.get(rest) if len(rest) == PAGE else None
            if after is None:
                break
            node, after.used = after, self._clock
            pages.append(node.page)
        self.hold(pages)
        alike, best = node.nearest(rest)
        if alike and best is not None:
            best.used = self._clock
            self.uses[best.page] += 1  # not to be given away for its own copy
            copied = self.copy(best.page)
            self.release([best.page])
            if copied is not None:
                return [*pages, copied], len(pages) * PAGE + alike
        return pages, len(pages) * PAGE

    def insert(self, tokens: Sequence[int], pages: list[int], ready: bool) -> None:
        """Remember ``tokens``, which a sequence holds in ``pages``.

        ``ready``: they are computed, and the sequence is at its end, so a last page that is not full is remembered too;
        else the coming step computes them, see `computed`. A page that is known already takes the place of the
        sequence's own.
        """
        self._clock += 1
        node = self.root
        for i in range(len(tokens) // PAGE):
            key = tuple(tokens[i * PAGE : (i + 1) * PAGE])
            after = node.children.get(key)
            if after is None:
                after = node.add(Node(key, pages[i], node, ready=ready))
                self.uses[pages[i]] += 1
                if not ready:
                    self._fresh.append(after)
            elif after.page != pages[i]:
                self.hold([after.page])
                self.release([pages[i]])
                pages[i] = after.page
            after.used = self._clock
            node = after
        rest = tuple(tokens[len(tokens) // PAGE * PAGE :])
        if ready and rest and not node.begins(rest):
            page = pages[len(tokens) // PAGE]
            self.uses[page] += 1
            node.add(Node(rest, page, node, ready=True, used=self._clock))

    def computed(self) -> None:
        """What was inserted is computed now."""
        for node in self._fresh:
            node.ready = True
        self._fresh.clear()

    def forget(self) -> None:
        """Give away all that the tree alone uses, and know no beginning."""
        self.release([node.page for node in self._nodes()])
        self.root = Node((), -1, None, ready=True)
        self._fresh.clear()

    def _nodes(self) -> Iterator[Node]:
        stack = list(self.root.children.values())
        while stack:
            node = stack.pop()
            stack.extend(node.children.values())
            yield node

    def _evict(self, count: int) -> int:
        """Free ``count`` pages that the tree alone uses, or as many as there are: ends of branches, the oldest first.

        How many were freed.
        """
        freed = 0
        while freed < count:
            ends = [n for n in self._nodes() if not n.children and self.uses[n.page] == 1 and n.ready]
            if not ends:
                break
            for node in sorted(ends, key=lambda n: n.used)[: count - freed]:
                assert node.parent is not None  # the root is none of them
                node.parent.remove(node)
                self.release([node.page])
                freed += 1
        return freed


def _alike(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
