"""Letters in words, which tokenizers hide from a model: spell a word, count a letter in it.

The idea is nanochat's (Karpathy 2025); the words are those of strop's everyday conversations. A fifth of them is only
ever tested, so a word that is tested is never trained on.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from random import Random
from typing import NamedTuple

from strop.common.errors import InputError
from strop.data.readers import NamedSet, built_in
from strop.data.rows import Row
from strop.rewards import Judgement
from strop.rewards.code import Verdict
from strop.rewards.numbers import finished_number, flexible_number, strict_number
from strop.rewards.reasoning import without_reasoning
from strop.tasks.base import AnswerTask, Item, register
from strop.tasks.general_chat import conversation_texts
from strop.tasks.metrics import NO_ANSWER, accuracy, part
from strop.tasks.spelt import spelt_letters

_WORD = re.compile(r"(?<![\w'-])[a-z]{3,14}(?![\w'-])")
_ASK_COUNT = (
    "How many times does the letter {letter} occur in the word {word}?",
    "How many {letter}s are in {word}?",
    "Count the letter {letter} in the word {word}.",
)
_ASK_SPELL = ("Spell the word {word}.", "What are the letters of {word}, in order?", "Spell out: {word}")


class Asked(NamedTuple):
    """A question about a word."""

    word: str
    letter: str
    text: str


@cache
def words(split: str) -> tuple[str, ...]:
    """The words to train on, or those that are only tested, in alphabetical order."""
    found: set[str] = set()
    for _, texts in conversation_texts(list(built_in("general_chat", "train")(None, 0))):
        found.update(word for text in texts for word in _WORD.findall(text))
    held_out = {word for word in found if sha256(word.encode()).digest()[0] % 5 == 0}
    return tuple(sorted(held_out if split == "test" else found - held_out))


def drawn(task: str, split: str, count: int, seed: int) -> list[Asked]:
    """``count`` questions; question i depends on (split, seed, i) alone, and words take turns.

    Raises InputError for more than there are words.
    """
    known, random = words(split), Random(f"{task} {split} {seed}")
    if count > len(known):
        raise InputError(f"{task} has {len(known):,} words to {split} with, and not {count:,}; ask for fewer.")
    return [_asked(task, word, random) for word in random.sample(known, len(known))[:count]]


def _asked(task: str, word: str, random: Random) -> Asked:
    absent = random.random() < 0.1
    letter = random.choice("abcdefghijklmnopqrstuvwxyz" if absent else word)
    texts = _ASK_COUNT if task == "spelling_bee" else _ASK_SPELL
    return Asked(word, letter, random.choice(texts).format(word=word, letter=letter))


def made_up(count: int, seed: int) -> list[str]:
    """Words that there are not: letters drawn one after the other, each either as the two before it go on in the words
    to train on, or as any letter that follows the one before it in one of them. So they look like words, and rare pairs
    of letters, of which a tokenizer has pieces too, are not rare. None of them is a word to test with."""
    known, random = words("train"), Random(f"made-up words {seed}")
    found: list[str] = []
    usual: dict[str, list[str]] = {}  # as often as it occurs
    ever: dict[str, list[str]] = {}  # once each
    for word in known:
        for i, letter in enumerate(f"{word}."):
            usual.setdefault(word[max(i - 2, 0) : i], []).append(letter)
            if i and letter not in ever.setdefault(word[i - 1], []):
                ever[word[i - 1]].append(letter)
    tested = set(words("test"))
    while len(found) < count:
        word = ""
        while len(word) < 14:
            rarely = len(word) > 1 and (random.random() < 0.5 or word[-2:] not in usual)
            letter = random.choice(ever[word[-1]] if rarely else usual[word[-2:]])
            if letter == ".":
                break
            word += letter
        if len(word) >= 3 and word not in tested:
            found.append(word)
    return found


class _Spelling(AnswerTask):
    source = "drawn by strop from a seed, from the words of its everyday conversations"
    licence = "Apache-2.0"
    end: str

    def items(self) -> list[Item]:
        return self._items("test", self.settings.count or 96, self.settings.seed)

    def train_items(self, count: int | None, seed: int) -> list[Item]:
        return self._items("train", count or 512, seed)

    def _items(self, split: str, count: int, seed: int) -> list[Item]:
        made = []
        for index, asked in enumerate(drawn(self.kind(), split, count, seed)):
            name = f"{self.kind()}/{'' if split == 'test' else 'train-'}{seed}-{index}"
            made.append(Item(name, name, [{"role": "user", "content": f"{asked.text} {self.end}"}], asked))
        return made

    @classmethod
    def kind(cls) -> str:
        return "spelling_bee" if cls is SpellingBee else "simple_spelling"

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        def rows(count: int | None, seed: int) -> list[Row]:
            asked = drawn(cls.kind(), "train", count or 512, seed)
            return [
                (f"{cls.kind()}[{seed}-{i}]", {"prompt": f"{one.text} {cls.end}", "completion": cls.solution(one)})
                for i, one in enumerate(asked)
            ]

        def of_made_up(count: int | None, seed: int) -> list[Row]:
            chosen, random = made_up(count or 1000, seed), Random(f"{cls.kind()} made-up {seed}")
            return [
                (
                    f"{cls.kind()}_made_up[{seed}-{i}]",
                    {"prompt": f"{one.text} {cls.end}", "completion": cls.solution(one)},
                )
                for i, one in enumerate(_asked(cls.kind(), word, random) for word in chosen)
            ]

        return {cls.kind(): rows, f"{cls.kind()}_made_up": of_made_up}

    @classmethod
    @abstractmethod
    def solution(cls, asked: Asked) -> str:
        """What a right answer looks like."""


@register("spelling_bee")
class SpellingBee(_Spelling):
    """How often a letter occurs in a word; 96 words by default."""

    end = 'Spell it first, and end with the count after "####".'
    metrics = (
        accuracy("questions whose last number is the count", lead=2),
        part("format_rate", "answers with a number after ####"),
        NO_ANSWER,
    )
    finished_part = staticmethod(finished_number)

    @classmethod
    def solution(cls, asked: Asked) -> str:
        """The word spelt, then every letter beside the one that is asked for, with the count so far: a step compares
        two neighbours and adds to the number before it, and needs nothing else."""
        n, counted = 0, []
        for letter in asked.word:
            n += letter == asked.letter
            counted.append(f"{letter} {asked.letter} {n}")
        return f"{', '.join(asked.word)}\nLetter {asked.letter}: {', '.join(counted)}\n#### {n}"

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        right, strict = item.data.word.count(item.data.letter), strict_number(answer)
        found = strict if strict is not None else flexible_number(answer)
        parts = {"format_rate": float(strict is not None)}
        if found is None:
            return Judgement("no_answer", 0, 1, "the answer holds no number", parts=parts)
        verdict: Verdict = "accepted" if found == right else "wrong_answer"
        return Judgement(verdict, int(found == right), 1, f"{found}, expected {right}", parts=parts)


@register("simple_spelling")
class SimpleSpelling(_Spelling):
    """The letters of a word, one by one; 96 words by default."""

    end = "Write its letters with commas between them."
    metrics = (accuracy("words spelt right", lead=2), NO_ANSWER)

    @classmethod
    def solution(cls, asked: Asked) -> str:
        return ", ".join(asked.word)

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        """What the last row of single letters spells."""
        spelt = spelt_letters(without_reasoning(answer))
        if spelt is None:
            return Judgement("no_answer", 0, 1, "the answer spells nothing")
        right = spelt == item.data.word
        return Judgement("accepted" if right else "wrong_answer", int(right), 1, f"spelt {spelt!r:.40}")
