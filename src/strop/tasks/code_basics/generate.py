"""The task: from a seed to records, by the split into families and the turns that these take."""

from collections.abc import Mapping
from functools import cache
from itertools import islice
from random import Random
from typing import Literal

from strop.common.errors import InputError
from strop.data.readers import NamedSet
from strop.data.rows import Row
from strop.tasks.base import Item, TaskSettings, register
from strop.tasks.code_basics import single
from strop.tasks.code_basics.families import CROSSED
from strop.tasks.code_basics.held_out import HELD_OUT
from strop.tasks.code_basics.problem import record
from strop.tasks.functions import ProblemTask
from strop.tasks.records import Record

_ATTEMPTS = 200


@cache
def topics() -> dict[str, str]:
    """The topic of every family by its name, in the order that the turns are shuffled from."""
    found = single.topics() | {name: family.topic for name, family in CROSSED.items()}
    # The crossed topics keep the order of their tables.
    return dict(sorted(found.items(), key=lambda item: item[1].partition("_")[0]))


def family_names(split: Literal["train", "test"]) -> tuple[str, ...]:
    """The families that are trained on, or those that are only ever tested. Raises ValueError for another split."""
    if split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r}; expected 'train' or 'test'")
    return HELD_OUT if split == "test" else tuple(name for name in topics() if name not in HELD_OUT)


def generate(split: Literal["train", "test"], count: int, seed: int) -> list[Record]:
    """`count` problems, no two with the same prompt.

    The families of the split take turns, in an order that is shuffled anew each round, so their counts differ by at
    most one. Record i depends on (split, seed, i) only: a longer list starts with the shorter one. A crossed family
    draws a new problem each time. A single family gives its frozen records, each once, in an order that depends on the
    seed; so lists of different seeds have some of them in common, and a list has at most as many rounds as the smallest
    of these families has records.

    Raises:
        InputError: `count` is larger than that; the message says how many there are.
        ValueError: the split is unknown or `count` is negative.
    """
    names = family_names(split)
    if count < 0:
        raise ValueError(f"count is {count}; expected 0 or more")
    singles = [name for name in names if name not in CROSSED]
    rounds = min(len(single.frozen()[name]) for name in singles)
    if count > rounds * len(names):
        what, again = ("train on", " or go through them again with epochs") if split == "train" else ("test with", "")
        raise InputError(
            f"code_basics has {rounds * len(names):,} problems to {what}, {rounds} of each of {len(names)} families, "
            f"and not {count:,}; ask for fewer{again}."
        )
    left = {name: single.in_order(name, seed) for name in singles}
    records: list[Record] = []
    seen: set[str] = set()
    order = Random(f"order {seed}")
    turns = (name for _ in range(rounds) for name in order.sample(names, len(names)))
    for index, name in enumerate(islice(turns, count)):
        new = next(left[name]) if name in left else _crossed(name, seed, index, seen)
        records.append(new)
        seen.add(new.prompt)
    return records


def _crossed(family: str, seed: int, index: int, seen: set[str]) -> Record:
    for attempt in range(_ATTEMPTS):
        # A string seeds Random through SHA-512: the same everywhere, unlike hash().
        rng = Random(f"{family} {seed} {index} {attempt}")
        new = record(CROSSED[family].make(rng), rng, f"code_basics/{family}/{seed}-{index}", family)
        if new.prompt not in seen:
            return new
    raise InputError(f"code_basics: {family} has no further problem after {index} records; ask for fewer.")


@register("code_basics")
class CodeBasics(ProblemTask):
    """Problems of the held-out families to measure on, 96 by default; those of the others to train on."""

    own_prefix = ""
    source = "drawn by strop from a seed"
    licence = "Apache-2.0"

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings, generate("test", settings.count or 96, settings.seed))

    def train_items(self, count: int | None, seed: int) -> list[Item]:
        return self.items_of(generate("train", count or 512, seed))

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        return {
            "code_basics": lambda count, seed: _conversations("train", count or 512, seed),
            "code_basics_test": lambda count, seed: _conversations("test", count or 64, seed),
        }


def _conversations(split: Literal["train", "test"], count: int, seed: int) -> list[Row]:
    return [(f"code_basics[{r.name}]", {"messages": r.messages()}) for r in generate(split, count, seed)]
