"""Families made by crossing two tables: which items are meant, and what to do with them.

A small model learns little from one problem of a kind; it learns a skill that it meets in many kinds. Here every pair
of a skill and a use is a family: "the numbers that are odd" x "add them up". Some pairs are held out, so that the test
asks for a combination that training never showed, made of parts that it did.

Every solution has the same three steps: read `a`, make `b` from it, print an answer from `b`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from strop.tasks.code_basics.family import Family, Problem, add_family, program
from strop.tasks.code_basics.layouts import show


@dataclass(frozen=True, slots=True)
class Skill:
    """A property of an item, or a change of it.

    words: the property after a plural noun ("are even"), or the change as a command ("Double every number").
    code: Python source over x, a condition or the new value. value: the same as a function, written otherwise.
    """

    words: str
    code: str
    value: Callable[[Any], Any]


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


@dataclass(frozen=True, slots=True)
class Source:
    """Where the items come from: the description of the input, the source that reads them into a, and the layout."""

    words: str
    code: str
    layout: Callable[[Sequence[Any]], str]


def cross(
    topic: str,
    skills: Mapping[str, Callable[[Random], Skill]],
    uses: Mapping[str, Use],
    make: Callable[[Random, Skill, Use], Problem],
) -> None:
    """Register one family for every skill and use, called skill_topic_use ("odd_numbers_sum")."""
    for skill, draw in skills.items():
        for name, use in uses.items():
            add_family(Family(f"{skill}_{topic}_{name}", f"crossed_{topic}", "easy", _maker(draw, use, make)))


def _maker(
    draw: Callable[[Random], Skill], use: Use, make: Callable[[Random, Skill, Use], Problem]
) -> Callable[[Random], Problem]:
    return lambda rng: make(rng, draw(rng), use)


def kept(rng: Random, skill: Skill, use: Use, noun: str, source: Source, item: Callable[[], Any]) -> Problem:
    """The problem of those items that have a property."""

    def answer(a: Sequence[Any]) -> Any:
        return use.value([x for x in a if skill.value(x)], list(a))

    def case(size: int) -> tuple[Any]:
        # Now and then all items have the property, or none: both happen too rarely by themselves.
        wanted = rng.choice((None, None, None, True, False))
        while True:
            drawn = [_such(item, skill, wanted) for _ in range(size)]
            enough = not use.needs_one or any(map(skill.value, drawn))
            if enough and show(answer(drawn)).strip():
                return (drawn,)
            wanted = None

    return Problem(
        say=tuple(say.format(items=f"the {noun} that {skill.words}", noun=noun, words=skill.words) for say in use.say),
        input=source.words + (f" There is at least one that {_singular(skill.words)}." if use.needs_one else ""),
        output=use.output,
        case=case,
        edges=(case(1), case(2)),
        layout=source.layout,
        answer=answer,
        solution=program(source.code, f"b = [x for x in a if {skill.code}]", use.code),
    )


def changed(rng: Random, skill: Skill, use: Use, noun: str, source: Source, item: Callable[[], Any]) -> Problem:
    """The problem of a list whose every item is changed."""

    def case(size: int) -> tuple[Any]:
        return ([item() for _ in range(size)],)

    return Problem(
        say=tuple(f"{skill.words}. {say.format(items=f'the new {noun}', noun=noun)}" for say in use.say),
        input=source.words,
        output=use.output,
        case=case,
        edges=(case(1), case(2)),
        layout=source.layout,
        answer=lambda a: use.value([skill.value(x) for x in a], list(a)),
        solution=program(source.code, f"b = [{skill.code} for x in a]", use.code),
    )


def _such(item: Callable[[], Any], skill: Skill, wanted: bool | None) -> Any:
    """An item that has the property (or has it not); any, after a hundred tries."""
    for _ in range(100):
        x = item()
        if wanted in (None, skill.value(x)):
            break
    return x


def _singular(words: str) -> str:
    """ "are even" to "is even", "start with s" to "starts with s"."""
    verb, _, rest = words.partition(" ")
    return f"{ {'are': 'is', 'have': 'has'}.get(verb, verb + 's') } {rest}"
