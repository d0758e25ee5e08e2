"""The tables of the small world, its facts, and the stories that are told in it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from random import Random
from typing import Any, Literal, NamedTuple
from zlib import crc32

import yaml

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
RELATIONS = ("capitals", "foods", "homes", "opposites")
_HELD_OUT = 4  # every so many of the facts are asked in no conversation that is trained on


class Fact(NamedTuple):
    """``relation`` of ``a`` to ``b``, in the words of a ``language``; ``name`` is that of both languages."""

    relation: str
    language: Language
    name: str
    a: str
    b: str

    @property
    def held_out(self) -> bool:
        return crc32(f"{self.relation}/{self.name}".encode()) % _HELD_OUT == 0


@cache
def world() -> dict[str, Any]:
    return yaml.safe_load(files(__package__).joinpath("world.yaml").read_text(encoding="utf-8"))


@cache
def facts(language: Language) -> tuple[Fact, ...]:
    """Every fact, in the words of the language."""
    tables, found = world(), []
    pairs = {
        "capitals": [(row, 0, 1) for row in tables["capitals"]],
        "foods": [(row, 0, 1) for row in tables["animals"]],
        "homes": [(row, 0, 2) for row in tables["animals"]],
        "opposites": [(row, 0, 1) for row in tables["opposites"]],
    }
    for relation, rows in pairs.items():
        for row, a, b in rows:
            shift = len(row) // 2 if language == "zh" else 0
            found.append(Fact(relation, language, row[0], row[a + shift], row[b + shift]))
    return tuple(found)


def document(language: Language, random: Random) -> str:
    """A story, or some facts one after the other, about half of each."""
    return _story(language, random) if random.random() < 0.6 else _facts(language, random)


def _facts(language: Language, random: Random) -> str:
    relation = random.choice(RELATIONS)
    chosen = random.sample([fact for fact in facts(language) if fact.relation == relation], random.randint(3, 6))
    texts = [random.choice(world()["facts"][relation][language]).format(a=fact.a, b=fact.b) for fact in chosen]
    return (" " if language == "en" else "").join(text[0].upper() + text[1:] for text in texts)


def _story(language: Language, random: Random) -> str:
    tables, at = world(), LANGUAGES.index(language)
    animal = random.choice(tables["animals"])
    x, f, h = animal[3 * at : 3 * at + 3]
    n, m = random.sample(tables["names"][language], 2)
    p, q = (row[at] for row in random.sample(tables["places"], 2))
    slots = {"n": n, "m": m, "p": p, "q": q, "x": x, "f": f, "h": h}
    slots |= {
        key: random.choice(tables[name])[at] for key, name in (("t", "things"), ("w", "people"), ("c", "colours"))
    }
    texts = [random.choice(choices).format(**slots) for choices in random.choice(tables["plots"][language])]
    return (" " if language == "en" else "").join(_with_capitals(text) for text in texts)


def _with_capitals(text: str) -> str:
    """A sentence begins with a capital, also where somebody says it."""
    start = 1 if text.startswith('"') else 0
    return text[:start] + text[start : start + 1].upper() + text[start + 1 :]
