"""Short strings to be reversed: a task that a model of a hundred thousand weights learns in a minute."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from random import Random
from zlib import crc32

from strop.data.readers import NamedSet
from strop.data.rows import Row
from strop.rewards import Judgement
from strop.tasks.base import AnswerTask, Item, register
from strop.tasks.metrics import TASK, Metric

_LETTERS = "abcdefgh"
_LENGTHS = (3, 4, 5)
_HELD_OUT = 5  # every so many of all strings are measured on, and never trained on


@register("reverse")
class Reverse(AnswerTask):
    """Strings of 3 to 5 of eight letters; graded by the letters that are in their place."""

    metrics = (
        Metric(
            "accuracy",
            "strings reversed without a fault",
            "rate",
            1,
            TASK,
            lead=0,
            value=lambda result: result.verdict == "accepted",
        ),
        Metric("letters", "letters in their place", "rate", 1, TASK, value=lambda result: result.passed / result.total),
    )
    source = "drawn by strop from a seed"
    licence = "Apache-2.0"

    def items(self) -> list[Item]:
        return _items("test", self.settings.count or 200, self.settings.seed)

    def train_items(self, count: int | None, seed: int) -> list[Item]:
        return _items("train", count or 2000, seed)

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        """As many tests as the string has letters; each letter too many takes one of those in their place away."""
        right = sum(a == b for a, b in zip(answer, item.data, strict=False))
        right, total = max(0, right - max(0, len(answer) - len(item.data))), len(item.data)
        return Judgement("accepted" if right == total else "wrong_answer", right, total, f"expected {item.data!r}")

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        return {"reverse": lambda count, seed: [_row(item) for item in _items("train", count or 2000, seed)]}


def _items(split: str, count: int, seed: int) -> list[Item]:
    """Different strings, drawn by split and seed; a longer list begins with the shorter one."""
    random, seen = Random(f"reverse {split} {seed}"), set()

    def strings():
        while True:
            text = "".join(random.choice(_LETTERS) for _ in range(random.choice(_LENGTHS)))
            held_out = crc32(text.encode()) % _HELD_OUT == 0
            if text not in seen and held_out == (split == "test"):
                seen.add(text)
                yield text

    return [
        Item(f"reverse/{text}", text, [{"role": "user", "content": text}], text[::-1])
        for text in islice(strings(), count)
    ]


def _row(item: Item) -> Row:
    return item.name, {"messages": [*item.messages, {"role": "assistant", "content": item.data}]}
