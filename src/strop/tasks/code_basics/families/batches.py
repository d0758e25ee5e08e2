"""Several test cases, and input of unknown length."""

from random import Random

from strop.tasks.code_basics.draw import condition, ints
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import counted, rows

TWO_LISTS = "The first line contains n. The second and the third line contain n integers each."


def _many(rng: Random, size: int) -> int:
    """Few test cases in a sample, up to six otherwise."""
    return rng.randint(2, 3) if 3 <= size <= 5 else min(size, 6)


@family()
def cases_formula(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("the sum of a and b", "a + b", lambda a, b: a + b),
            ("the product of a and b", "a * b", lambda a, b: a * b),
            ("the distance between a and b", "abs(a - b)", lambda a, b: max(a, b) - min(a, b)),
            ("the larger of a and b", "max(a, b)", lambda a, b: sorted((a, b))[1]),
            ("the remainder of a divided by b", "a % b", lambda a, b: a - a // b * b),
        )
    )
    return Problem(
        say=(
            f"For each of t test cases find {what}.",
            f"There are t test cases, each with two integers a and b. Print {what}.",
            f"Answer t queries. For every query print {what}.",
        ),
        input="The first line contains t. Each of the next t lines contains two integers a and b.",
        output="Print t lines, one answer each.",
        case=lambda size: ([tuple(ints(rng, 2, 1, 30)) for _ in range(_many(rng, size))],),
        edges=(([(1, 1)],), ([(5, 2), (2, 5)],), ([(10, 10), (1, 100), (100, 1)],)),
        layout=counted,
        answer=lambda pairs: rows(*[value(a, b) for a, b in pairs]),
        solution=f"""
            t = int(input())
            for _ in range(t):
                a, b = map(int, input().split())
                print({code})
            """,
    )


@family()
def cases_gcd(rng: Random) -> Problem:
    yes = rng.choice((None, "YES", "yes"))
    no = {"YES": "NO", "yes": "no"}.get(yes)

    def answer(pairs: list[tuple[int, int]]) -> str:
        found = [max(d for d in range(1, a + 1) if a % d == 0 and b % d == 0) for a, b in pairs]
        return rows(*[d if yes is None else yes if d == 1 else no for d in found])

    return Problem(
        say=(
            "For each of t pairs find the greatest common divisor of a and b.",
            "Solve t test cases: what is the largest integer that divides both a and b?",
            "For each test case print the greatest common divisor of the two numbers.",
        )
        if yes is None
        else (
            "For each of t pairs decide whether 1 is the only positive integer that divides both a and b.",
            "Two numbers are coprime if their greatest common divisor is 1. Check t pairs.",
            "For every test case tell whether a and b have no common divisor larger than 1.",
        ),
        input="The first line contains t. Each of the next t lines contains two positive integers a and b.",
        output="Print t lines, one answer each."
        if yes is None
        else f"Print {yes} or {no} for each pair, one per line.",
        case=lambda size: ([tuple(ints(rng, 2, 1, 30)) for _ in range(_many(rng, size))],),
        edges=(([(1, 1)],), ([(12, 18), (7, 9)],), ([(10, 10), (1, 100), (100, 75)],)),
        layout=counted,
        answer=answer,
        solution="""
            from math import gcd
            t = int(input())
            for _ in range(t):
                a, b = map(int, input().split())
            """
        + ("    print(gcd(a, b))" if yes is None else f'    print("{yes}" if gcd(a, b) == 1 else "{no}")'),
    )


@family()
def cases_lists(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("sum", "sum(a)", lambda a: sum(a)),
            ("maximum", "max(a)", lambda a: sorted(a)[-1]),
            ("minimum", "min(a)", lambda a: sorted(a)[0]),
            ("number of even elements", "sum(1 for x in a if x % 2 == 0)", lambda a: len([x for x in a if not x & 1])),
        )
    )
    return Problem(
        say=(
            f"There are t lists. Find the {what} of each list.",
            f"For each of t test cases a list of n numbers is given. Print its {what}.",
            f"Solve t test cases: compute the {what} of the given list.",
        ),
        input="The first line contains t. Each test case has two lines: n, and then n integers.",
        output="Print t lines, one answer each.",
        case=lambda size: ([ints(rng, rng.randint(1, 4), -5, 20) for _ in range(_many(rng, size))],),
        edges=(([[4]],), ([[0, 0], [-3]],), ([[-1, -2, -3], [8, 9], [2, 2]],)),
        layout=lambda lists: rows(len(lists), *[rows(len(a), a) for a in lists]),
        answer=lambda lists: rows(*map(value, lists)),
        solution=f"""
            t = int(input())
            for _ in range(t):
                n = int(input())
                a = list(map(int, input().split()))
                print({code})
            """,
    )


@family()
def until_zero(rng: Random) -> Problem:
    what, start, step, value = rng.choice(
        (
            ("sum of the numbers", 0, "result += x", sum),
            ("count of the numbers", 0, "result += 1", len),
            ("product of the numbers", 1, "result *= x", None),
            ("largest number", 0, "result = max(result, x)", lambda a: max(a, default=0)),
        )
    )

    def answer(a: list[int]) -> int:
        if value is not None:
            return value(a)
        return a[0] * answer(a[1:]) if a else 1

    return Problem(
        say=(
            f"Positive integers are given one per line. The list ends with 0. Find the {what} before the 0.",
            f"Read positive integers until a 0 appears and print the {what}. The 0 is not part of the list.",
            f"A machine prints positive integers and finally 0. What is the {what} (without the 0)?",
        ),
        input="One integer per line; the last one is 0. There is at least one number before it.",
        output="Print one integer.",
        case=lambda size: (ints(rng, rng.choice((2, 3)) if 3 <= size <= 5 else size, 1, 20),),
        edges=(([4],), ([1, 1, 1],), ([9, 3],)),
        layout=lambda a: rows(*a, 0),
        answer=answer,
        solution=f"""
            result = {start}
            x = int(input())
            while x != 0:
                {step}
                x = int(input())
            print(result)
            """,
    )


@family()
def all_input(rng: Random) -> Problem:
    c = condition(rng)
    what, code, value = rng.choice(
        (
            ("Find the sum of all numbers", "print(sum(a))", sum),
            ("Count the numbers", "print(len(a))", len),
            ("Find the largest number", "print(max(a))", lambda a: sorted(a)[-1]),
            (
                f"Count the numbers that are {c.words}",
                f"print(sum(1 for x in a if {c.code}))",
                lambda a: len([*filter(c.holds, a)]),
            ),
        )
    )
    return Problem(
        say=(
            f"{what} in the input. It is not known how many numbers and lines there are.",
            f"The input contains integers in some lines, until it ends. {what}.",
            f"{what} in a file. Each line holds one or more integers, and there is no count in front.",
        ),
        input="One or more lines, each with one or more integers.",
        output="Print one integer.",
        case=lambda size: ([ints(rng, rng.randint(1, 4), -9, 20) for _ in range(2 if 3 <= size <= 5 else size)],),
        edges=(([[4]],), ([[0, 0, 0]],), ([[-1], [-2], [-3]],), ([[1, 2, 3, 4, 5, 6]],)),
        layout=lambda lists: rows(*lists),
        answer=lambda lists: value([x for a in lists for x in a]),
        solution=f"""
            import sys
            a = list(map(int, sys.stdin.read().split()))
            {code}
            """,
    )
