"""The order in which the examples of a mixture come: a function of the seed, the epoch and the position alone."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch

from strop.common.errors import InputError
from strop.data.batch import Trainable
from strop.data.counter import permutation

Item = TypeVar("Item", covariant=True)


class Store(Protocol[Item]):
    """What a mixture draws from: `Prepared` is one, and `InMemory`.

    ``lengths [N]``: tokens of each; ``passes``: how many differ, of which ``of_pass`` gives the indices.
    """

    @property
    def passes(self) -> int: ...

    @property
    def lengths(self) -> np.ndarray: ...

    @property
    def fingerprint(self) -> str: ...

    def of_pass(self, number: int) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item: ...


class Mixed(Protocol):
    """A part's settings, as far as a mixture reads them."""

    @property
    def title(self) -> str: ...

    @property
    def weight(self) -> float: ...

    @property
    def epochs(self) -> float: ...


class Mix(Protocol):
    """How an epoch is made of parts: `MixtureSettings`, of conversations or of prompts."""

    @property
    def parts(self) -> Sequence[Mixed]: ...

    @property
    def mix(self) -> Literal["concatenate", "weights"]: ...

    @property
    def total(self) -> int | None: ...


class InMemory:
    """A list of examples as a part, as `Prepared` is one."""

    passes = 1

    def __init__(self, examples: Sequence[Trainable]):
        self._examples = examples
        self.lengths = np.array([len(e.tokens) for e in examples], np.int64)

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.lengths.tobytes())
        for example in self._examples:
            digest.update(np.asarray(example.tokens, np.int32).tobytes())
            digest.update(np.asarray(example.loss_weights, np.float32).tobytes())
        return digest.hexdigest()

    def of_pass(self, number: int) -> np.ndarray:
        return np.arange(len(self))

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Trainable:
        return self._examples[index]


class Stretch(NamedTuple):
    """Examples ``[start, stop)`` of the ``number``-th pass over a part, in the order that is drawn for that pass."""

    number: int
    start: int
    stop: int


class Mixture(Generic[Item]):
    """Parts and how an epoch is made of them; see `MixtureSettings`.

    Every part is walked through without end, one pass after another, each pass a permutation of its own of the part's
    examples. An epoch is a stretch of each walk, and the next epoch goes on where it ended. All of it is computed from
    (seed, part, pass) and (seed, epoch), so nothing has to be remembered.

    Raises:
        InputError: when there is no example, or none of a part that is to have a share.
    """

    def __init__(self, stores: Sequence[Store[Item]], settings: Mix | None = None, seed: int = 0):
        self._stores, self.settings, self.seed = tuple(stores), settings, seed
        self._first = np.cumsum([0, *map(len, stores)])  # where each part's examples start in the common count
        self._sizes = [[len(store.of_pass(n)) for n in range(store.passes)] for store in stores]
        self._weighted = settings if settings is not None and settings.mix == "weights" else None
        if self._weighted is not None:
            for part, sizes in zip(self._weighted.parts, self._sizes, strict=True):
                if not all(sizes):
                    raise InputError(f"{part.title}: no example is left of it, so it cannot have a share; drop it.")
            self._total = self._weighted.total or sum(sizes[0] for sizes in self._sizes)
        if not len(self):
            raise InputError("there is no example to train on; look at the data file and at what was dropped.")
        if not self.length(0):
            raise InputError("an epoch holds not even one example; raise `epochs` of the parts.")

    # -- examples, counted through all parts

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, index: int) -> Item:
        part = int(np.searchsorted(self._first, index, side="right")) - 1
        return self._stores[part][int(index - self._first[part])]

    def longest(self) -> int:
        """The index of the (first) longest example."""
        return int(np.argmax(np.concatenate([store.lengths for store in self._stores])))

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same examples in the same order; of another seed, another order, it says nothing."""
        how: Any = None
        if self.settings is not None:
            shares = [(part.weight, part.epochs) for part in self.settings.parts]
            said = [self.settings.mix, self.settings.total, shares]
            how = None if said == ["concatenate", None, [(1.0, 1.0)] * len(shares)] else said
        return hashlib.sha256(json.dumps([how, *(s.fingerprint for s in self._stores)]).encode()).hexdigest()

    # -- epochs

    def length(self, epoch: int) -> int:
        """Examples in an epoch."""
        if self._weighted:
            return self._total
        return sum(s.stop - s.start for part in range(len(self._stores)) for s in self._stretches(part, epoch))

    def lengths(self, epoch: int) -> list[int]:
        """Tokens of every example of an epoch."""
        every = np.concatenate([store.lengths for store in self._stores])
        return every[self.contents(epoch)].tolist()

    def contents(self, epoch: int) -> np.ndarray:
        """The examples of an epoch: part by part, ascending or, under ``mix: weights``, in the order of the walk."""
        found = [
            self._first[part] + self._examples(part, stretch)
            for part in range(len(self._stores))
            for stretch in self._stretches(part, epoch)
        ]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def order(self, epoch: int) -> np.ndarray:
        """The examples of an epoch in the order in which they are trained."""
        contents = self.contents(epoch)
        generator = torch.Generator().manual_seed((self.seed << 20) + epoch)
        shuffled = torch.randperm(len(contents), generator=generator).numpy()
        if not self._weighted:
            return contents[shuffled]
        # The parts take turns at random, and each comes in the order of its own walk.
        part_of = self._first.searchsorted(contents, side="right")
        order = np.empty_like(contents)
        order[np.argsort(part_of[shuffled], kind="stable")] = contents
        return order

    def _stretches(self, part: int, epoch: int) -> list[Stretch]:
        sizes = self._sizes[part]
        if self._weighted:
            weights = [Fraction(str(p.weight)) for p in self._weighted.parts]
            start, stop = (deal(self._total * e, weights)[part] for e in (epoch, epoch + 1))
            return list(_walk(sizes, start, stop))
        often = Fraction(1) if self.settings is None else Fraction(str(self.settings.parts[part].epochs))
        first, last = often * epoch, often * (epoch + 1)
        found = []
        for number in range(int(first), -int(-last // 1)):
            size = sizes[number % len(sizes)]
            shares = (min(max(at - number, Fraction(0)), Fraction(1)) for at in (first, last))
            start, stop = (int(share * size + Fraction(1, 2)) for share in shares)
            found.append(Stretch(number, start, stop))
        return [stretch for stretch in found if stretch.start < stretch.stop]

    def _examples(self, part: int, stretch: Stretch) -> np.ndarray:
        pool = self._stores[part].of_pass(stretch.number)
        whole = stretch.stop - stretch.start == len(pool)
        if whole and not self._weighted:
            return pool
        name = f"strop walk, seed {self.seed}, part {part}, pass {stretch.number}"
        chosen = permutation(name, len(pool))[stretch.start : stretch.stop]
        return pool[chosen if self._weighted else np.sort(chosen)]


def deal(count: int, weights: Sequence[Fraction]) -> list[int]:
    """How many of ``count`` draws each weight gets, by Sainte-Laguë's method (Webster's).

    The k-th draw goes where ``(draws so far + 1/2) / weight`` is least, so nobody ever loses a draw by a larger
    ``count``, and no share is more than a few draws off. Exact, and the time does not grow with ``count``.
    """
    whole = sum(weights)
    # With n parts a share differs from its quota by less than (n + 1) / 2, so these draws are certain.
    dealt = [max(0, int(count * weight / whole) - len(weights)) for weight in weights]
    next_draw = [
        ((n + Fraction(1, 2)) / weight, part) for part, (n, weight) in enumerate(zip(dealt, weights, strict=True))
    ]
    heapq.heapify(next_draw)
    for _ in range(count - sum(dealt)):
        part = next_draw[0][1]
        dealt[part] += 1
        heapq.heapreplace(next_draw, ((dealt[part] + Fraction(1, 2)) / weights[part], part))
    return dealt


def _walk(sizes: Sequence[int], start: int, stop: int) -> Iterator[Stretch]:
    """Examples ``[start, stop)`` of an endless walk whose passes have these sizes in turn."""
    turns, at = divmod(start, sum(sizes))
    number, left = turns * len(sizes), stop - start
    while left:
        size = sizes[number % len(sizes)]
        if at < size:
            taken = min(left, size - at)
            yield Stretch(number, at, at + taken)
            at, left = at + taken, left - taken
        at -= size
        number += 1
