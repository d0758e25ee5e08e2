"""Sorting and what sorting makes easy."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import ints, list_input, names
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import counted, listed, listed_with, rows


@family()
def sort_numbers(rng: Random) -> Problem:
    down = rng.random() < 0.5
    order = rng.choice(("decreasing", "non-increasing")) if down else rng.choice(("increasing", "non-decreasing"))
    first = "the largest" if down else "the smallest"
    return Problem(
        say=(
            f"Sort the numbers in {order} order.",
            f"Print the n numbers sorted so that {first} comes first.",
            f"Put n students in line by height, {first} first, and print the heights.",
        ),
        input=list_input(rng),
        output="Print the sorted numbers on one line.",
        case=lambda size: (ints(rng, size, -9 * (size > 5), 30),),
        edges=(([4],), ([3, 3, 3],), ([1, 2, 3],), ([3, 2, 1],)),
        layout=listed,
        answer=lambda a: sorted(a, key=lambda x: -x if down else x),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            a.sort({"reverse=True" if down else ""})
            print(*a)
            """,
    )


@family()
def sort_by(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("last digit", "x % 10", lambda x: int(str(x)[-1])),
            ("digit sum", "sum(map(int, str(x)))", lambda x: sum(int(c) for c in str(x))),
            ("number of digits", "len(str(x))", lambda x: len(str(x))),
        )
    )
    return Problem(
        say=(
            f"Sort positive integers by their {what}; numbers with the same {what} are ordered by value.",
            f"Order the n numbers by {what}, smallest first. If the {what} is equal, the smaller number comes first.",
            f"Arrange the numbers so that the {what} never decreases; break ties by the number itself, smaller first.",
        ),
        input=list_input(rng, "positive integers"),
        output="Print the numbers in the new order on one line.",
        case=lambda size: ([rng.randint(1, rng.choice((9, 99, 999))) for _ in range(size)],),
        edges=(([4],), ([30, 20, 10],), ([19, 91, 10, 9],), ([5, 5],)),
        layout=listed,
        answer=lambda a: sorted(sorted(a), key=value),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            a.sort(key=lambda x: ({code}, x))
            print(*a)
            """,
    )


@family()
def top_k_sum(rng: Random) -> Problem:
    big = rng.random() < 0.6
    what = "largest" if big else "smallest"
    return Problem(
        say=(
            f"Find the sum of the k {what} numbers in the list.",
            f"n prices are given. What do the k {'most expensive' if big else 'cheapest'} things cost together?",
            f"Choose k of the n numbers so that their sum is as {'large' if big else 'small'} as possible and print the sum.",
        ),
        input="The first line contains n and k (1 <= k <= n). The second line contains n integers.",
        output="Print the sum.",
        case=lambda size: (ints(rng, size, 1, 30), rng.randint(1, size)),
        edges=(([4], 1), ([3, 3, 3], 2), ([1, 2, 3], 3), ([3, 1, 2], 1)),
        layout=listed_with,
        answer=lambda a, k: sum(a) - sum(sorted(a, reverse=not big)[: len(a) - k]),
        solution=f"""
            n, k = map(int, input().split())
            a = list(map(int, input().split()))
            a.sort({"reverse=True" if big else ""})
            print(sum(a[:k]))
            """,
    )


@family()
def second_best(rng: Random) -> Problem:
    big = rng.random() < 0.6
    what = "largest" if big else "smallest"
    return Problem(
        say=(
            f"Find the second {what} different value in the list (copies of the {what} value do not count).",
            f"What is the {what} number after the {what} value itself is left out, with all its copies?",
            f"Among the different values that occur, print the second {what}.",
        ),
        input=list_input(rng),
        output="Print the number, or -1 if all numbers are equal.",
        case=lambda size: (ints(rng, size + 1, 1, 12),),
        edges=(([4],), ([3, 3, 3],), ([3, 3, 1],), ([1, 2, 2],), ([5, 9],)),
        layout=listed,
        answer=lambda a: (max if big else min)([x for x in a if x != (max if big else min)(a)], default=-1),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            b = sorted(set(a){", reverse=True" if big else ""})
            print(b[1] if len(b) > 1 else -1)
            """,
    )


@family()
def median(rng: Random) -> Problem:
    story = rng.choice(("heights", "prices", "scores", "numbers"))
    return Problem(
        say=(
            f"n is odd. Find the median of n {story}, the one in the middle when they are sorted.",
            f"Print the {story[:-1]} that has equally many {story} before and after it in sorted order. n is odd.",
            f"Sort n {story} (n is odd) and print the middle one.",
        ),
        input=list_input(rng),
        output="Print the median.",
        case=lambda size: (ints(rng, size // 2 * 2 + 1, 0, 30),),
        edges=(([4],), ([3, 3, 3],), ([1, 3, 2],), ([9, 1, 5, 7, 3],)),
        layout=listed,
        answer=lambda a: next(
            x for x in a if sum(y < x for y in a) <= len(a) // 2 and sum(y > x for y in a) <= len(a) // 2
        ),
        solution="""
            n = int(input())
            a = sorted(map(int, input().split()))
            print(a[n // 2])
            """,
    )


def _people(rng: Random, size: int, high: int = 40) -> list[tuple[str, int]]:
    return [(name, rng.randint(1, high)) for name in names(rng, size)]


@family("medium")
def ranking(rng: Random) -> Problem:
    what, down = rng.choice((("score", True), ("time", False), ("age", False), ("price", True)))
    order = "highest first" if down else "lowest first"
    return Problem(
        say=(
            f"Sort n names by {what}, {order}. Names with equal {what} are sorted alphabetically.",
            f"Print the names ordered by {what}, {order}. If the {what} is equal, use alphabetical order.",
            f"Make a ranking by {what}, {order}. Break ties by alphabetical order of the names.",
        ),
        input=f"The first line contains n. Then n lines follow, each with a name and an integer, the {what}.",
        output="Print n lines with the names in this order.",
        case=lambda size: (_people(rng, min(size, 6), 12),),
        edges=(([("Ana", 5)],), ([("Tom", 5), ("Ben", 5)],), ([("Ana", 1), ("Ben", 2), ("Kim", 3)],)),
        layout=lambda people: rows(len(people), *people),
        answer=lambda people: "\n".join(
            name for name, _ in sorted(sorted(people), key=lambda item: item[1], reverse=down)
        ),
        solution=f"""
            n = int(input())
            a = []
            for _ in range(n):
                name, x = input().split()
                a.append(({"-" if down else ""}int(x), name))
            for x, name in sorted(a):
                print(name)
            """,
    )


@family()
def best_person(rng: Random) -> Problem:
    what, word, sign = rng.choice(
        (("score", "highest", ">"), ("time", "lowest", "<"), ("age", "highest", ">"), ("price", "lowest", "<"))
    )
    pick = max if sign == ">" else min
    return Problem(
        say=(
            f"Find the name with the {word} {what}. If there are several, print the one that comes first in the input.",
            f"Each of n lines has a name and a {what}. Who has the {word} {what}? In a tie the earlier line wins.",
            f"Print the name that belongs to the {word} {what} (the first such name if the {what} occurs more than once).",
        ),
        input=f"The first line contains n. Then n lines follow, each with a name and an integer, the {what}.",
        output="Print the name.",
        case=lambda size: (_people(rng, min(size, 8), 20),),
        edges=(([("Ana", 5)],), ([("Tom", 5), ("Ben", 5)],), ([("Ana", 1), ("Ben", 2), ("Kim", 3)],)),
        layout=counted,
        answer=lambda people: pick(people, key=lambda item: item[1])[0],
        solution=f"""
            n = int(input())
            best = None
            for _ in range(n):
                name, x = input().split()
                x = int(x)
                if best is None or x {sign} best:
                    best = x
                    winner = name
            print(winner)
            """,
    )


@family()
def spend_budget(rng: Random) -> Problem:
    thing = rng.choice(("books", "toys", "plants", "songs"))

    def answer(a: list[int], k: int) -> int:
        return max(count for count in range(len(a) + 1) if sum(sorted(a)[:count]) <= k)

    return Problem(
        say=(
            f"The prices of n {thing} are given, and you have k coins. How many {thing} can you buy at most?",
            f"With k coins you want to buy as many of the n {thing} as possible. Find the largest number of {thing}.",
            f"What is the largest number of {thing} whose prices add up to at most k?",
        ),
        input="The first line contains n and k. The second line contains the n prices.",
        output=f"Print the number of {thing}.",
        case=lambda size: (ints(rng, size, 1, 15), rng.randint(3, 10 + 3 * size)),
        edges=(([4], 4), ([4], 3), ([1, 1, 1], 100), ([9, 1, 5, 2], 8), ([3, 3], 0)),
        layout=listed_with,
        answer=answer,
        solution="""
            n, k = map(int, input().split())
            a = sorted(map(int, input().split()))
            count = 0
            for x in a:
                if x <= k:
                    k -= x
                    count += 1
            print(count)
            """,
    )
