"""Judged answers: those that belong together are drawn, packed and kept in one row as one thing.

Shapes: N examples of a part, G groups of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from strop.chat.answers import Content
from strop.common.errors import InputError
from strop.data.batch import Batch
from strop.data.counter import permutation
from strop.data.prefixes import common_prefix, make_group_batch
from strop.data.prepared import Prepared, PreparedExample


@dataclass(frozen=True)
class Group:
    """Answers to one prompt; a batch needs of it what it needs of an example, so ``tokens`` are what it takes in a row.

    ``examples`` are whole: of pairs the chosen one first. ``key`` names it among all prepared data.
    """

    examples: tuple[PreparedExample, ...]
    place: str
    key: tuple[str, int]

    @cached_property
    def shared(self) -> int:
        """Tokens with which all examples begin, which go into a row once."""
        return common_prefix(self.examples) if len(self.examples) > 1 else 0

    @property
    def tokens(self) -> np.ndarray:
        return self._joined("tokens")

    @property
    def loss_weights(self) -> np.ndarray:
        return self._joined("loss_weights")

    def _joined(self, name: str) -> np.ndarray:
        first, *others = (getattr(example, name) for example in self.examples)
        return np.concatenate([first, *(values[self.shared :] for values in others)])


class Groups:
    """The groups of a prepared part, as a part of a mixture; ``size`` examples each, which stand one after another."""

    def __init__(self, part: Prepared, size: int):
        self._part, self._size = part, size

    @property
    def passes(self) -> int:
        return self._part.passes

    @property
    def fingerprint(self) -> str:
        return self._part.fingerprint

    def of_pass(self, number: int) -> np.ndarray:
        """Indices of the groups of a pass: the answers of one have the same system prompt."""
        return self._part.of_pass(number)[:: self._size] // self._size

    @cached_property
    def lengths(self) -> np.ndarray:
        """``[G]`` tokens that each takes in a row."""
        whole = self._part.lengths.reshape(-1, self._size).sum(1)
        if self._size == 1:
            return whole
        return whole - np.array([group.shared * (self._size - 1) for group in self], np.int64)

    def __len__(self) -> int:
        return len(self._part) // self._size

    def __getitem__(self, index: int) -> Group:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        examples = tuple(self._part[index * self._size + i] for i in range(self._size))
        return Group(examples, examples[0].place, (self._part.folder.name, index))

    def __iter__(self) -> Iterator[Group]:
        return map(self.__getitem__, range(len(self)))


def stores_of(parts: Sequence[Prepared], content: Content) -> list[Prepared] | list[Groups]:
    """The parts as a mixture draws from them."""
    if content == "conversations":
        return list(parts)
    return [Groups(part, 2 if content == "pairs" else 1) for part in parts]


def group_batch(groups: Sequence[Group], content: Content, share: bool = True) -> Batch:
    """One flat row of groups, of which each computes a common beginning once (not so where ``share`` is false).

    Sequence streams: ``pair`` (the number of the group in the row), ``preferred`` (1 chosen or wanted, -1 rejected or
    not wanted, 0 a sequence that is no answer), ``value`` (a pair's margin, at its chosen answer; a score).
    """

    def preferred(group: Group) -> list[float]:
        if content == "pairs":
            return [1.0, -1.0]
        return [float(np.sign(e.value)) if content == "labelled" else 1.0 for e in group.examples]

    streams = {
        "pair": [[float(number)] * len(group.examples) for number, group in enumerate(groups)],
        "preferred": [preferred(group) for group in groups],
        "value": [[example.value for example in group.examples] for group in groups],
    }
    return make_group_batch([group.examples for group in groups], share, sequence_streams=streams)


def mismatched(
    groups: Sequence[Group], longest: int, what: str = "data", mend: str = "give data with several"
) -> list[Group]:
    """For each group of one answer its prompt with the answer of another group to another prompt, cut to ``longest``
    tokens: what KTO measures its KL term on. Depends on ``groups`` and nothing else.

    The other one is the next of another prompt (around the end) in one fixed shuffled order: in the data's own, answers
    to one prompt stand together, and the next one might always be a wanted one.

    Raises InputError where all have the same prompt; ``what`` they are and how to ``mend`` it.
    """
    count = len(groups)
    order: list[int] = permutation("strop mismatched answers", count).tolist()
    begins = [int(np.flatnonzero(group.examples[0].loss_weights)[0]) for group in groups]
    prompts = [group.examples[0].tokens[:begin].tobytes() for group, begin in zip(groups, begins, strict=True)]
    if len(set(prompts)) < 2:
        raise InputError(
            f"{what}: all answers ({count:,}, the first {groups[0].place}) are to one prompt, and kto compares with "
            f"answers to other prompts; {mend}, or choose another objective.type."
        )
    found: dict[int, Group] = {}
    partner = -1
    for at in range(2 * count - 1, -1, -1):  # from the end, and twice around it, so that the next one is known
        own, following = order[at % count], order[(at + 1) % count]
        if prompts[following] != prompts[own]:
            partner = following
        if at < count:
            group, begin, other = groups[own], begins[own], groups[partner].examples[0]
            tokens, weights = (
                np.concatenate([getattr(group.examples[0], name)[:begin], getattr(other, name)[begins[partner] :]])
                for name in ("tokens", "loss_weights")
            )
            example = PreparedExample(tokens[:longest], weights[:longest], group.place)
            found[own] = Group((example,), group.place, (f"mismatched {group.key[0]}", group.key[1]))
    return [found[index] for index in range(count)]
