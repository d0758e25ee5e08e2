"""What a family of problems is, and how one is registered.

A family is a function that takes a `random.Random` and returns a `Problem`. It draws the parameters (a threshold, a
direction, a story), and says each thing twice, independently: `solution` is the program that the model learns, reading
text; `answer` is plain Python over the values themselves. The expected outputs come from `answer`; the tests run every
`solution` against them.

To add one, write such a function in a module of `families` under the decorator; it joins the train split unless
`held_out` names it, and the tests check it with no further word.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from textwrap import dedent
from typing import Any

from strop.tasks.code_basics.layouts import rows

FAMILIES: dict[str, "Family"] = {}
"""Every family by name, in the order of registration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem with its parameters drawn.

    say: at least three wordings of the statement, of which one is used.
    input, output: the formats, in sentences.
    case: draws the values of one test case; its argument is about how many items it should hold (samples get 3 to 5,
        hidden tests 1 to 12).
    edges: values of the cases that must be tested: smallest sizes, ties, empty results.
    layout: the values as the program reads them. answer: the values to what it must print (see `layouts.show`).
    solution: the reference program; it is dedented.
    """

    say: tuple[str, ...]
    input: str
    output: str
    case: Callable[[int], tuple[Any, ...]]
    answer: Callable[..., Any]
    solution: str
    edges: tuple[tuple[Any, ...], ...] = ()
    layout: Callable[..., str] = rows


@dataclass(frozen=True, slots=True)
class Family:
    """A registered family: `make` draws a problem, `topic` is the module that it stands in."""

    name: str
    topic: str
    difficulty: str
    make: Callable[[Random], Problem]


def family(difficulty: str = "easy") -> Callable[[Callable[[Random], Problem]], Callable[[Random], Problem]]:
    """Register the decorated function under its own name."""

    def register(make: Callable[[Random], Problem]) -> Callable[[Random], Problem]:
        add_family(Family(make.__name__, make.__module__.rpartition(".")[2], difficulty, make))
        return make

    return register


def add_family(new: Family) -> None:
    """Register a family.

    Raises:
        ValueError: its name is taken.
    """
    if new.name in FAMILIES:
        raise ValueError(f"two families are called {new.name}")
    FAMILIES[new.name] = new


def program(*parts: str) -> str:
    """Source code from pieces that are dedented one by one."""
    return "\n".join(dedent(part).strip("\n ") for part in parts)
