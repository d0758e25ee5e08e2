"""Contiguous parts of a list: streaks and sums of ranges."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from itertools import groupby
from random import Random

from strop.tasks.code_basics.draw import condition, ints, list_input
from strop.tasks.code_basics.family import Problem, family, program
from strop.tasks.code_basics.layouts import listed, rows

READ = """
    n = int(input())
    a = list(map(int, input().split()))
    """


@family("medium")
def longest_streak(rng: Random) -> Problem:
    c = condition(rng)

    def answer(a: list[int]) -> int:
        return max((len(list(run)) for good, run in groupby(a, key=c.holds) if good), default=0)

    return Problem(
        say=(
            f"Find the length of the longest run of consecutive numbers that are all {c.words}.",
            f"A good day has a value that is {c.words}. How many good days in a row are there at most?",
            f"What is the largest number of neighbouring elements, one after another, that are {c.words}? It may be 0.",
        ),
        input=list_input(rng),
        output="Print the length.",
        case=lambda size: (ints(rng, size + 2, -12, 20),),
        edges=(([1],), ([-7, -7, -7],), ([10, 12],), ([0],), ([6, 6, -5, 6, 7],)),
        layout=listed,
        answer=answer,
        solution=program(
            READ,
            f"""
            best = 0
            run = 0
            for x in a:
                if {c.code}:
                    run += 1
                    best = max(best, run)
                else:
                    run = 0
            print(best)
            """,
        ),
    )


@family("medium")
def range_sums(rng: Random) -> Problem:
    what, code, value = rng.choice((("sum", "sum", sum), ("maximum", "max", max), ("minimum", "min", min)))

    def case(size: int) -> tuple[list[int], list[tuple[int, int]]]:
        n = size + 1
        pairs = [tuple(sorted(ints(rng, 2, 1, n))) for _ in range(rng.randint(1, 3))]
        return ints(rng, n, -3, 15), pairs

    return Problem(
        say=(
            f"Answer q questions about a list of n numbers: what is the {what} of the elements from position l to position r?",
            f"For each of q pairs l, r print the {what} of the l-th to the r-th number. Positions start from 1, and both ends are included.",
            f"The list is numbered from 1 to n. For every question (l, r) find the {what} of the numbers l, l+1, ..., r.",
        ),
        input="Line 1: n and q. Line 2: n integers. Then q lines with l and r each (1 <= l <= r <= n).",
        output="Print q lines, one answer each.",
        case=case,
        edges=(([5], [(1, 1)]), ([1, 2, 3], [(1, 3), (2, 2)]), ([-1, -2, 4], [(1, 2), (3, 3), (1, 3)])),
        layout=lambda a, pairs: rows((len(a), len(pairs)), a, *pairs),
        answer=lambda a, pairs: rows(*[value(a[i - 1] for i in range(left, right + 1)) for left, right in pairs]),
        solution=f"""
            n, q = map(int, input().split())
            a = list(map(int, input().split()))
            for _ in range(q):
                l, r = map(int, input().split())
                print({code}(a[l - 1:r]))
            """,
    )


@family("medium")
def best_trade(rng: Random) -> Problem:
    thing = rng.choice(("share", "coin", "ticket", "card"))
    return Problem(
        say=(
            f"The price of a {thing} on n days is given. You buy it on one day and sell it on a later day. What is the largest profit? It is 0 if no trade gains.",
            "Find the largest difference a[j] - a[i] with i < j. If all of them are negative, the answer is 0.",
            f"Buy one {thing} and sell it on some later day, or do nothing. Find the best possible profit for the given n prices.",
        ),
        input=list_input(rng),
        output="Print the largest profit.",
        case=lambda size: (ints(rng, size + 1, 1, 25),),
        edges=(([4],), ([3, 3],), ([9, 5, 1],), ([1, 5, 9],), ([5, 9, 1, 4],)),
        layout=listed,
        answer=lambda a: max([0] + [a[j] - a[i] for j in range(len(a)) for i in range(j)]),
        solution=program(
            READ,
            """
            low = a[0]
            best = 0
            for x in a:
                low = min(low, x)
                best = max(best, x - low)
            print(best)
            """,
        ),
    )


@family("medium")
def best_segment(rng: Random) -> Problem:
    story = rng.choice(("profit", "score", "change in height"))
    return Problem(
        say=(
            "Find the largest sum of one or more consecutive numbers.",
            f"The {story} of n days is given. Choose some consecutive days (at least one) with the largest total {story} and print that total.",
            "Among all non-empty contiguous parts of the list, what is the maximum sum?",
        ),
        input=list_input(rng),
        output="Print the largest sum.",
        case=lambda size: (ints(rng, size + 1, -9, 9),),
        edges=(([-4],), ([4],), ([-3, -1, -2],), ([5, -9, 6],), ([2, -1, 2],)),
        layout=listed,
        answer=lambda a: max(sum(a[i:j]) for j in range(1, len(a) + 1) for i in range(j)),
        solution=program(
            READ,
            """
            best = a[0]
            s = 0
            for x in a:
                s = max(s, 0) + x
                best = max(best, s)
            print(best)
            """,
        ),
    )
