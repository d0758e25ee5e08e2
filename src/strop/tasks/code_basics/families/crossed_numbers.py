"""Crossed families over a list of integers: those with a property, and all of them changed."""

from random import Random

from strop.tasks.code_basics.crossing import ItemSource, Skill, Use, changed, cross, kept
from strop.tasks.code_basics.layouts import counted, listed, show
from strop.tasks.code_basics.problem import Problem
from strop.tasks.code_basics.uses import LIST_USES, NUMBER_USES, PART_USES


def _above(rng: Random) -> Skill:
    k = rng.randint(2, 15)
    return Skill(f"are greater than {k}", f"x > {k}", lambda x: not x <= k)


def _below(rng: Random) -> Skill:
    k = rng.randint(2, 15)
    return Skill(f"are less than {k}", f"x < {k}", lambda x: not x >= k)


def _between(rng: Random) -> Skill:
    low = rng.randint(1, 9)
    high = low + rng.randint(8, 15)
    return Skill(f"are from {low} to {high}", f"{low} <= x <= {high}", lambda x: x in range(low, high + 1))


def _multiple(rng: Random) -> Skill:
    k = rng.randint(3, 6)
    return Skill(f"are divisible by {k}", f"x % {k} == 0", lambda x: x // k * k == x)


def _not_multiple(rng: Random) -> Skill:
    k = rng.randint(3, 6)
    return Skill(f"are not divisible by {k}", f"x % {k} != 0", lambda x: x // k * k < x)


def _different(rng: Random) -> Skill:
    k = rng.randint(0, 3)
    return Skill(f"are different from {k}", f"x != {k}", lambda x: x < k or x > k)


PROPERTIES = {
    "even": lambda rng: Skill("are even", "x % 2 == 0", lambda x: str(x)[-1] in "02468"),
    "odd": lambda rng: Skill("are odd", "x % 2 == 1", lambda x: str(x)[-1] in "13579"),
    "positive": lambda rng: Skill("are positive", "x > 0", lambda x: not x <= 0),
    "negative": lambda rng: Skill("are negative", "x < 0", lambda x: not x >= 0),
    "above": _above,
    "below": _below,
    "between": _between,
    "multiple": _multiple,
    "not_multiple": _not_multiple,
    "different": _different,
}


def _times(rng: Random) -> Skill:
    k = rng.randint(2, 9)
    return Skill(f"Multiply every number by {k}", f"x * {k}", lambda x: sum([x] * k))


def _plus(rng: Random) -> Skill:
    k = rng.randint(2, 20)
    return Skill(f"Add {k} to every number", f"x + {k}", lambda x: sum((k, x)))


def _minus(rng: Random) -> Skill:
    k = rng.randint(2, 20)
    return Skill(f"Subtract {k} from every number", f"x - {k}", lambda x: -(k - x))


def _remainder(rng: Random) -> Skill:
    k = rng.randint(3, 9)
    return Skill(f"Replace every number by its remainder when divided by {k}", f"x % {k}", lambda x: x - x // k * k)


CHANGES = {
    "times": _times,
    "plus": _plus,
    "minus": _minus,
    "remainder": _remainder,
    "squared": lambda rng: Skill("Square every number", "x * x", lambda x: x**2),
    "absolute": lambda rng: Skill("Replace every number by its absolute value", "abs(x)", lambda x: max(x, -x)),
    "negated": lambda rng: Skill("Change the sign of every number", "-x", lambda x: 0 - x),
    "halved": lambda rng: Skill("Divide every number by 2, rounding down", "x // 2", lambda x: (x - x % 2) // 2),
}

LISTED = (
    "The first line contains n. The second line contains n integers.",
    "The first line contains an integer n, and the second line contains n integers separated by spaces.",
    "An integer n on the first line, then n integers on the second line.",
    "Line 1: the number n. Line 2: n integers.",
)
READ_LINE = "a = list(map(int, input().split()))"


def _source(rng: Random) -> ItemSource:
    return rng.choice(
        (
            ItemSource("One line of integers.", READ_LINE, show),
            ItemSource("One line with integers separated by spaces.", READ_LINE, show),
            ItemSource(rng.choice(LISTED), f"n = int(input())\n{READ_LINE}", listed),
            ItemSource(
                "The first line contains n. Each of the next n lines contains one integer.",
                "n = int(input())\na = [int(input()) for _ in range(n)]",
                counted,
            ),
        )
    )


def _kept(rng: Random, skill: Skill, use: Use) -> Problem:
    return kept(rng, skill, use, rng.choice(("numbers", "integers")), _source(rng), lambda: rng.randint(-12, 30))


def _changed(rng: Random, skill: Skill, use: Use) -> Problem:
    return changed(rng, skill, use, "numbers", _source(rng), lambda: rng.randint(-12, 30))


FAMILIES = cross("numbers", PROPERTIES, LIST_USES | PART_USES | NUMBER_USES, _kept) | cross(
    "changed_numbers", CHANGES, LIST_USES | NUMBER_USES, _changed
)
