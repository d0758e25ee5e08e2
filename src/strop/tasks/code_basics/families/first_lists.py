"""First programs: one line of numbers and one value of it."""

from math import prod
from random import Random

from strop.tasks.code_basics.draw import ints
from strop.tasks.code_basics.family import Problem, family

ONE_INTEGER = "Print one integer."
AND_K = "The first line contains the integers of the list. The second line contains the integer k."


def _line(rng: Random, what: str = "integers", least: int = 1) -> str:
    more = "" if least == 1 else f" (at least {least} of them)"
    return rng.choice((f"One line of {what}{more}.", f"One line with {what} separated by spaces{more}."))


@family()
def element_at_place(rng: Random) -> Problem:
    which, code, place = rng.choice(
        (("first", "a[0]", 0), ("second", "a[1]", 1), ("third", "a[2]", 2), ("last", "a[-1]", None))
    )
    return Problem(
        say=(
            f"Print the {which} number of the list.",
            f"Read a list of integers and print its {which} element.",
            f"What is the {which} number in the line?",
        ),
        input=_line(rng, least=3),
        output=ONE_INTEGER,
        case=lambda size: (ints(rng, size + 2, 0, 30),),
        edges=(([1, 2, 3],), ([7, 7, 7],), ([9, 8, 7, 6, 5],)),
        answer=lambda a: [*reversed(a)][0 if place is None else len(a) - 1 - place],
        solution=f"""
            a = list(map(int, input().split()))
            print({code})
            """,
    )


@family()
def two_ends(rng: Random) -> Problem:
    what, sign, value = rng.choice(
        (
            ("Add the first and the last number", "+", lambda x, y: sum((x, y))),
            ("Multiply the first number by the last number", "*", lambda x, y: sum([x] * y)),
            ("Subtract the last number from the first number", "-", lambda x, y: -(y - x)),
        )
    )
    return Problem(
        say=(
            f"{what} of the list.",
            f"You are given a list of integers. {what} and print the result.",
            f"{what} in the line.",
        ),
        input=_line(rng, "non-negative integers"),
        output=ONE_INTEGER,
        case=lambda size: (ints(rng, size, 0, 20),),
        edges=(([5],), ([0, 4],), ([3, 9, 1],)),
        answer=lambda a: value(a[0], a[len(a) - 1]),
        solution=f"""
            a = list(map(int, input().split()))
            print(a[0] {sign} a[-1])
            """,
    )


@family()
def count_equal(rng: Random) -> Problem:
    story = rng.choice(("list", "row of dice", "list of grades"))
    return Problem(
        say=(
            f"How many numbers in the {story} are equal to k?",
            f"Count how often the number k occurs in the {story}.",
            f"A {story} and a number k are given. Print how many times k is there.",
        ),
        input=AND_K,
        output="Print the count.",
        case=lambda size: (ints(rng, size, 1, 4), rng.randint(1, 4)),
        edges=(([3], 3), ([3], 2), ([2, 2, 2, 2], 2)),
        answer=lambda a, k: len([x for x in a if x == k]),
        solution="""
            a = list(map(int, input().split()))
            k = int(input())
            print(a.count(k))
            """,
    )


@family()
def sum_without_one(rng: Random) -> Problem:
    which, code, value = rng.choice(
        (
            ("first", "sum(a) - a[0]", lambda a: sum(a[1:])),
            ("last", "sum(a) - a[-1]", lambda a: sum(a[: len(a) - 1])),
            ("largest", "sum(a) - max(a)", lambda a: sum(sorted(a)[: len(a) - 1])),
            ("smallest", "sum(a) - min(a)", lambda a: sum(sorted(a)[1:])),
        )
    )
    once = " (only once)" if "est" in which else ""
    return Problem(
        say=(
            f"Add up all numbers of the list except the {which} one{once}.",
            f"Print the sum of the list minus its {which} number.",
            f"Leave out the {which} number{once} and print the sum of the others.",
        ),
        input=_line(rng, least=2),
        output=ONE_INTEGER,
        case=lambda size: (ints(rng, size + 1, 0, 20),),
        edges=(([1, 2],), ([5, 5, 5],), ([9, 0, 4],)),
        answer=value,
        solution=f"""
            a = list(map(int, input().split()))
            print({code})
            """,
    )


@family()
def product_of_list(rng: Random) -> Problem:
    start = rng.choice((1, 1, 2, 3, 10))
    more = f" Multiply the result by {start}." if start > 1 else ""
    return Problem(
        say=(
            f"Multiply all numbers of the list together.{more}",
            f"Find the product of the numbers in the line.{more}",
            f"Read a list of integers and compute the product of all its elements.{more}",
        ),
        input=_line(rng),
        output=ONE_INTEGER,
        case=lambda size: (ints(rng, (size + 3) // 2, 1, 6),),
        edges=(([7],), ([4, 0, 2],), ([-2, 3],)),
        answer=lambda a: prod([start, *a]),
        solution=f"""
            a = list(map(int, input().split()))
            p = {start}
            for x in a:
                p *= x
            print(p)
            """,
    )


@family()
def extreme_of_both(rng: Random) -> Problem:
    what, code, index = rng.choice((("largest", "max", -1), ("smallest", "min", 0)))
    return Problem(
        say=(
            f"Two lists are given. Print the {what} number of both lists together.",
            f"What is the {what} number that is in the first or in the second list?",
            f"Find the {what} of all the numbers in the two lines.",
        ),
        input="Two lines with integers; the lines can have different lengths.",
        output=ONE_INTEGER,
        case=lambda size: (ints(rng, size, 0, 40), ints(rng, rng.randint(1, size), 0, 40)),
        edges=(([1], [2]), ([2], [1]), ([-3, -4], [-5])),
        answer=lambda a, b: sorted(a + b)[index],
        solution=f"""
            a = list(map(int, input().split()))
            b = list(map(int, input().split()))
            print({code}(a + b))
            """,
    )


@family()
def two_facts(rng: Random) -> Problem:
    facts = (
        ("the smallest number", "min(a)", lambda a: sorted(a)[0]),
        ("the largest number", "max(a)", lambda a: sorted(a)[-1]),
        ("the sum of the numbers", "sum(a)", lambda a: a[0] + sum(a[1:])),
        ("the first number", "a[0]", lambda a: a[-len(a)]),
    )
    (one, code, f), (two, code2, g) = rng.sample(facts, 2)
    return Problem(
        say=(
            f"Print {one} and then {two} of the list.",
            f"Read a list and print two values: {one} and {two}.",
            f"Find {one} and also {two} in the list.",
        ),
        input=_line(rng),
        output="Print the two values in this order on one line, separated by a space.",
        case=lambda size: (ints(rng, size, 0, 30),),
        edges=(([6],), ([2, 2],), ([3, 1, 2],)),
        answer=lambda a: [f(a), g(a)],
        solution=f"""
            a = list(map(int, input().split()))
            print({code}, {code2})
            """,
    )


@family()
def how_many_given(rng: Random) -> Problem:
    k = rng.randint(2, 9)
    extra, code, value = rng.choice(
        (
            ("", "len(a)", lambda a: sum(1 for _ in a)),
            (f" Multiply this count by {k}.", f"len(a) * {k}", lambda a: sum(k for _ in a)),
            (f" Add {k} to this count.", f"len(a) + {k}", lambda a: sum((1 for _ in a), k)),
        )
    )
    return Problem(
        say=(
            f"How many numbers are in the line?{extra}",
            f"Count the numbers in the list.{extra}",
            f"Find the length of the list, that is, how many numbers it has.{extra}",
        ),
        input=_line(rng),
        output=ONE_INTEGER,
        case=lambda size: (ints(rng, size, 0, 30),),
        edges=(([6],), ([2, 2],), ([30, 10, 20],)),
        answer=value,
        solution=f"""
            a = input().split()
            print({code})
            """,
    )
