"""Sums that are too long to be done in the head of a small model, and are easy with a calculator."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from pydantic import Field

from strop.data.readers import NamedSet
from strop.data.rows import Row
from strop.rewards import Judgement
from strop.rewards.numbers import finished_number, number
from strop.rewards.reasoning import without_reasoning
from strop.tasks.base import AnswerSettings, AnswerTask, Item, register
from strop.tasks.metrics import NO_ANSWER, accuracy
from strop.tasks.small_world.world import LANGUAGES, Language
from strop.tools.calculator import Calculator, calculate

_NUMBER = re.compile(  # also right after a Chinese word
    r"\d{1,3}(?:(?:\{,\}|\\,|,\\!)\d{3})+(?!\d)|\d+(?:,\d{3})*(?:\.\d+)?"
)
_NEGATIVE = re.compile(r"(?:[-−–—－]|\b(?:minus|negative)\s+|[负負])\Z", re.IGNORECASE)
_HELD_OUT = 5  # every so many of all sums are measured on, and never trained on
_ASK = {  # by operator: questions, and the answer
    "en": {
        "+": (["What is {a} + {b}?", "What is {a} plus {b}?", "Add {a} and {b}.",
               "There are {a} apples and {b} more apples. How many are there in all?"], "{a} + {b} is {c}."),
        "-": (["What is {a} - {b}?", "What is {a} minus {b}?", "Take {b} away from {a}.",
               "There were {a} birds and {b} flew away. How many are left?"], "{a} - {b} is {c}."),
        "*": (["What is {a} * {b}?", "What is {a} times {b}?", "Multiply {a} by {b}.",
               "There are {a} boxes with {b} books in each. How many books are there?"], "{a} * {b} is {c}."),
    },
    "zh": {
        "+": (["{a} + {b} 等于多少？", "{a}加{b}是多少？", "有{a}个苹果，又买了{b}个，一共有多少个？"],
              "{a}加{b}等于{c}。"),
        "-": (["{a} - {b} 等于多少？", "{a}减{b}是多少？", "有{a}只鸟，飞走了{b}只，还剩多少只？"],
              "{a}减{b}等于{c}。"),
        "*": (["{a} * {b} 等于多少？", "{a}乘{b}是多少？", "有{a}个箱子，每个箱子有{b}本书，一共有多少本？"],
              "{a}乘{b}等于{c}。"),
    },
}  # fmt: skip


class Sum(NamedTuple):
    """A question, the expression that a calculator is to be given, its value, and the answer in words."""

    text: str
    expression: str
    value: str
    answer: str


class SumsSettings(AnswerSettings):
    language: Language = Field("en", description="en or zh.")


@register("sums")
class Sums(AnswerTask):
    """Sums, differences and products of numbers below 1,000; 96 by default. ``environment: {kind: inline}`` or
    ``{kind: tools}`` lends the calculator, in the text or in turns, as ``sums_en`` or ``sums_tools_en`` teach it."""

    Settings = SumsSettings
    settings: SumsSettings
    metrics = (accuracy("questions whose last number is the result", lead=2), NO_ANSWER)
    source = "drawn by strop from a seed"
    licence = "Apache-2.0"
    finished_part = staticmethod(finished_number)

    def items(self) -> list[Item]:
        return self._items("test", self.settings.count or 96, self.settings.seed)

    def train_items(self, count: int | None, seed: int) -> list[Item]:
        return self._items("train", count or 512, seed)

    def _items(self, split: str, count: int, seed: int) -> list[Item]:
        language = self.settings.language
        return [
            Item(f"sums/{language}-{split}-{seed}-{i}", one.expression, [{"role": "user", "content": one.text}], one)
            for i, one in enumerate(islice(_drawn(language, split, seed), count))
        ]

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        right, found = number(item.data.value), _last_number(without_reasoning(answer))
        if found is None:
            return Judgement("no_answer", 0, 1, "the answer holds no number")
        return Judgement(
            "accepted" if found == right else "wrong_answer", int(found == right), 1, f"{found}, expected {right}"
        )

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        return {
            f"sums_{name}{language}": _rows(f"sums_{name}{language}", language, made)
            for language in LANGUAGES
            for name, made in (("", _in_text), ("tools_", _in_turns))
        }


def _last_number(text: str) -> Decimal | None:
    """With its sign, which in ``24-12`` and ``24 minus 12`` it has none of."""
    found = [*_NUMBER.finditer(text)]
    if not found:
        return None
    value, before = number(found[-1][0]), text[: found[-1].start()].rstrip("$")
    sign = _NEGATIVE.search(before[-20:])
    if value is None or sign is None:
        return value
    first = before[: len(before) - len(sign[0])]
    taken = re.search(r"[\d)]\Z" if sign[0] in "-−–—－负負" else r"[\d)]\s*\Z", first)
    return value if taken else -value


def _drawn(language: Language, split: str, seed: int) -> Iterator[Sum]:
    random, seen = Random(f"sums {language} {split} {seed}"), set()
    while True:
        operator = random.choice("+-*")
        a, b = random.randint(11, 999), random.randint(2, 99 if operator == "*" else 999)
        a, b = (max(a, b), min(a, b)) if operator == "-" else (a, b)
        expression = f"{a} {operator} {b}"
        if expression in seen or (crc32(expression.encode()) % _HELD_OUT == 0) != (split == "test"):
            continue
        seen.add(expression)
        questions, answer = _ASK[language][operator]
        value = calculate(expression)
        yield Sum(random.choice(questions).format(a=a, b=b), expression, value, answer.format(a=a, b=b, c=value))


def _rows(name: str, language: Language, made: Callable[[Sum], dict[str, Any]]) -> NamedSet:
    def rows(count: int | None, seed: int) -> list[Row]:
        chosen = islice(_drawn(language, "train", seed), count or 500)
        return [(f"{name}[{seed}-{i}]", made(one)) for i, one in enumerate(chosen)]

    return rows


def _in_text(one: Sum) -> dict[str, Any]:
    """The calculator's result within the answer, as GSM8K writes it (`strop.environments.inline`)."""
    work = f"<<{one.expression.replace(' ', '')}={one.value}>>"
    return {"prompt": one.text, "completion": f"{work}{one.answer}"}


def _in_turns(one: Sum) -> dict[str, Any]:
    """The calculator is called, and a turn brings its result."""
    call = {"name": Calculator.name, "arguments": {"expression": one.expression}}
    return {
        "tools": [Calculator().schema],
        "messages": [
            {"role": "user", "content": one.text},
            {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]},
            {"role": "tool", "name": Calculator.name, "content": one.value},
            {"role": "assistant", "content": one.answer},
        ],
    }
