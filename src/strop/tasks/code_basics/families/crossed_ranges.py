"""Crossed families over the integers of a range."""

from random import Random

from strop.tasks.code_basics.crossing import Skill, Use, cross
from strop.tasks.code_basics.families.crossed_numbers import PROPERTIES as NUMBER_PROPERTIES
from strop.tasks.code_basics.layouts import one_line
from strop.tasks.code_basics.problem import Problem
from strop.tasks.code_basics.uses import LIST_USES, NUMBER_USES, PART_USES


def _ending(rng: Random) -> Skill:
    d = rng.randint(0, 9)
    return Skill(f"end in the digit {d}", f"x % 10 == {d}", lambda x: str(x)[-1] == str(d))


def _holding(rng: Random) -> Skill:
    d = rng.randint(1, 9)
    return Skill(f"contain the digit {d}", f'"{d}" in str(x)', lambda x: d in map(int, str(x)))


PROPERTIES = {name: NUMBER_PROPERTIES[name] for name in ("even", "odd", "multiple", "not_multiple")} | {
    "ending": _ending,
    "holding": _holding,
}
USES = {name: LIST_USES[name] for name in ("line", "lines", "backwards")} | {
    "count": PART_USES["count"],
    "sum": NUMBER_USES["sum"],
    "largest": NUMBER_USES["largest"],
}


def _make(rng: Random, skill: Skill, use: Use) -> Problem:
    start = rng.choice((0, 1, None))
    if start is None:
        first, last, read = "l", "r", "l, r = map(int, input().split())"
    else:
        first, last, read = str(start), "n", "n = int(input())"
    noun = f"numbers from {first} to {last}"

    def answer(low: int, high: int) -> str:
        numbers = [*range(low, high + 1)]
        return use.value([x for x in numbers if skill.value(x)], numbers)

    def case(size: int) -> tuple[int, ...]:
        while True:
            low = start if start is not None else rng.randint(1, 30)
            high = low + rng.randint(1, 9 + 3 * size)
            if any(map(skill.value, range(low, high + 1))):
                return (low, high) if start is None else (high,)

    return Problem(
        say=use.statements(f"the {noun} that {skill.words}", noun, skill.words),
        input="Two integers l and r on one line (l < r)." if start is None else "One integer n.",
        output=use.output,
        case=case,
        layout=one_line,
        answer=answer if start is None else lambda n: answer(start, n),
        solution=f"{read}\na = range({first}, {last} + 1)\nb = [x for x in a if {skill.code}]\n{use.code}",
    )


FAMILIES = cross("range_numbers", PROPERTIES, USES, _make)
