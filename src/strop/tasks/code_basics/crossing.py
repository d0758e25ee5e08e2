"""Families made by crossing two tables: which items are meant, and what to do with them.

A small model learns little from one problem of a kind; it learns a skill that it meets in many kinds. Here every pair
of a skill and a use is a family: "the numbers that are odd" x "add them up". Some pairs are held out, so that the test
asks for a combination that training never showed, made of parts that it did.

Every solution has the same three steps: read `a`, make `b` from it, print an answer from `b`.

To add families, add a row to one of the tables in `uses` and `families`. They join the training split unless `held_out`
names them, and the project's tests check them. Which problems a seed gives changes then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from strop.tasks.code_basics.problem import Problem, show


@dataclass(frozen=True, slots=True)
class Skill:
    """A property of an item, or a change of it.

    words: the property after a plural noun ("are even"), or the change as a command ("Double every number").
    code: Python source over x, a condition or the new value. value: the same as a function, written otherwise.
    draw: where there is a parameter, `{k}` in words and code and the second argument of value, what it is drawn by.
    """

    words: str
    code: str
    value: Callable[..., Any]
    draw: Callable[[Random], Any] | None = None

    def drawn(self, rng: Random) -> "Skill":
        """The skill with its parameter drawn."""
        if self.draw is None:
            return self
        k = self.draw(rng)
        return Skill(self.words.format(k=k), self.code.format(k=k), lambda x: self.value(x, k))


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What is done with the list b, which was made from the list a.

    say: wordings that may hold `{items}` ("the numbers that are even"), `{noun}` ("numbers") and `{words}`.
    code: source that prints the answer from b and a. value: (b, a) to the answer.
    needs_one: b is never empty.
    """

    say: tuple[str, ...]
    output: str
    code: str
    value: Callable[[list, list], Any]
    needs_one: bool = True

    def statements(self, items: str, noun: str, words: str = "") -> tuple[str, ...]:
        """The wordings with everything filled in."""
        return tuple(say.format(items=items, noun=noun, words=words) for say in self.say)


@dataclass(frozen=True, slots=True)
class ItemSource:
    """Where the items come from: the description of the input, the source that reads them into a, and the layout."""

    words: str
    code: str
    layout: Callable[[Sequence[Any]], str]


@dataclass(frozen=True, slots=True)
class Items:
    """A kind of items: what they may be called (the first, where they are changed), and what draws a source and one."""

    nouns: tuple[str, ...]
    source: Callable[[Random], ItemSource]
    one: Callable[[Random], Any]


@dataclass(frozen=True, slots=True)
class Family:
    """A skill and a use; `make` draws a problem."""

    topic: str
    make: Callable[[Random], Problem]


def cross(
    topic: str,
    skills: Mapping[str, Skill],
    uses: Mapping[str, Use],
    make: Callable[[Random, Skill, Use], Problem],
) -> dict[str, Family]:
    """A family for every skill and use, by its name skill_topic_use ("odd_numbers_sum")."""

    def family(skill: Skill, use: Use) -> Family:
        return Family(f"crossed_{topic}", lambda rng: make(rng, skill.drawn(rng), use))

    return {
        f"{name}_{topic}_{done}": family(skill, use) for name, skill in skills.items() for done, use in uses.items()
    }


def kept(items: Items, rng: Random, skill: Skill, use: Use) -> Problem:
    """The problem of those items that have a property."""
    noun = rng.choice(items.nouns) if len(items.nouns) > 1 else items.nouns[0]  # a choice of one would draw, too
    source = items.source(rng)

    def answer(a: Sequence[Any]) -> Any:
        return use.value([x for x in a if skill.value(x)], list(a))

    def case(size: int) -> tuple[Any]:
        # Now and then all items have the property, or none: both happen too rarely by themselves.
        wanted = rng.choice((None, None, None, True, False))
        while True:
            drawn = [_such(rng, items.one, skill, wanted) for _ in range(size)]
            enough = not use.needs_one or any(map(skill.value, drawn))
            if enough and show(answer(drawn)).strip():
                return (drawn,)
            wanted = None

    return Problem(
        say=use.statements(f"the {noun} that {skill.words}", noun, skill.words),
        input=source.words + (f" There is at least one that {_singular(skill.words)}." if use.needs_one else ""),
        output=use.output,
        case=case,
        layout=source.layout,
        answer=answer,
        solution=f"{source.code}\nb = [x for x in a if {skill.code}]\n{use.code}",
    )


def changed(items: Items, rng: Random, skill: Skill, use: Use) -> Problem:
    """The problem of a list whose every item is changed."""
    source = items.source(rng)
    return Problem(
        say=tuple(f"{skill.words}. {say}" for say in use.statements(f"the new {items.nouns[0]}", items.nouns[0])),
        input=source.words,
        output=use.output,
        case=lambda size: ([items.one(rng) for _ in range(size)],),
        layout=source.layout,
        answer=lambda a: use.value([skill.value(x) for x in a], list(a)),
        solution=f"{source.code}\nb = [{skill.code} for x in a]\n{use.code}",
    )


def _such(rng: Random, item: Callable[[Random], Any], skill: Skill, wanted: bool | None) -> Any:
    """An item that has the property (or has it not); any, after a hundred tries."""
    for _ in range(100):
        x = item(rng)
        if wanted in (None, skill.value(x)):
            break
    return x


def _singular(words: str) -> str:
    """ "are even" to "is even", "start with s" to "starts with s"."""
    verb, _, rest = words.partition(" ")
    return f"{ {'are': 'is', 'have': 'has'}.get(verb, verb + 's') } {rest}"
