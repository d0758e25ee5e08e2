"""Two lists side by side, and pairs of elements."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from itertools import combinations
from random import Random

from strop.tasks.code_basics.draw import NAMES, ints, list_input
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import listed_with, rows, two_lists

TWO_LISTS = "The first line contains n. The second and the third line contain n integers each."


@family()
def dot_product(rng: Random) -> Problem:
    thing = rng.choice(("fruits", "tickets", "tiles", "books"))
    return Problem(
        say=(
            f"A shop sells n kinds of {thing}. The prices and the amounts bought are given. Find the total cost.",
            "Multiply each number of the first list by the number at the same place of the second list and add up the products.",
            f"You buy b[i] {thing} at the price a[i], for i = 1 to n. What do you pay?",
        ),
        input=TWO_LISTS,
        output="Print the total.",
        case=lambda size: (ints(rng, size, 1, 12), ints(rng, size, 0, 9)),
        edges=(([4], [0]), ([1], [7]), ([2, 2], [3, 3])),
        layout=two_lists,
        answer=lambda a, b: sum(a[i] * b[i] for i in range(len(a))),
        solution="""
            n = int(input())
            a = list(map(int, input().split()))
            b = list(map(int, input().split()))
            print(sum(x * y for x, y in zip(a, b)))
            """,
    )


@family()
def combine_lists(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("the sum", "x + y", lambda x, y: x + y),
            ("the larger", "max(x, y)", lambda x, y: x if x > y else y),
            ("the smaller", "min(x, y)", lambda x, y: x if x < y else y),
            ("the absolute difference", "abs(x - y)", lambda x, y: x - y if x > y else y - x),
        )
    )
    return Problem(
        say=(
            f"Two lists of length n are given. For every position print {what} of the two numbers there.",
            f"Combine two lists into one: each new element is {what} of the two elements at the same position.",
            f"For i = 1 to n compute {what} of a[i] and b[i].",
        ),
        input=TWO_LISTS,
        output="Print n numbers on one line.",
        case=lambda size: (ints(rng, size, -5, 15), ints(rng, size, -5, 15)),
        edges=(([4], [4]), ([-1], [7]), ([2, 9], [9, 2])),
        layout=two_lists,
        answer=lambda a, b: [value(a[i], b[i]) for i in range(len(a))],
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            b = list(map(int, input().split()))
            print(*[{code} for x, y in zip(a, b)])
            """,
    )


@family()
def round_winner(rng: Random) -> Problem:
    first, second = rng.sample(NAMES, 2)
    return Problem(
        say=(
            f"{first} and {second} play n rounds. In each round the one with more points wins it; equal points mean nobody does. Who wins more rounds?",
            f"The points of {first} and of {second} in n rounds are given. Count the rounds won by each (more points) and name the one who won more rounds.",
            f"In round i {first} gets a[i] points and {second} gets b[i]. A round goes to the higher number. Find who wins the most rounds.",
        ),
        input=f"The first line contains n. The second line: n integers for {first}. The third line: n integers for {second}.",
        output=f"Print {first}, {second} or TIE.",
        case=lambda size: (ints(rng, size, 0, 9), ints(rng, size, 0, 9)),
        edges=(([4], [4]), ([1], [7]), ([9, 1, 2], [0, 2, 3]), ([9, 1], [2, 3])),
        layout=two_lists,
        answer=lambda a, b: ("TIE", first, second)[
            (lambda d: (d > 0) - (d < 0))(sum((x > y) - (y > x) for x, y in zip(a, b, strict=True)))
        ],
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            b = list(map(int, input().split()))
            p = sum(1 for x, y in zip(a, b) if x > y)
            q = sum(1 for x, y in zip(a, b) if y > x)
            if p > q:
                print("{first}")
            elif q > p:
                print("{second}")
            else:
                print("TIE")
            """,
    )


@family("medium")
def pair_sum(rng: Random) -> Problem:
    what, op, value = rng.choice(
        (("sum", "a[i] + a[j]", lambda x, y: x + y), ("product", "a[i] * a[j]", lambda x, y: x * y))
    )
    story = rng.choice(("numbers", "cards with numbers", "coins with values"))

    def case(size: int) -> tuple[list[int], int]:
        a = ints(rng, size + 1, 1, 7)
        return a, value(*rng.sample(a, 2)) if rng.random() < 0.8 else 13

    return Problem(
        say=(
            f"n {story} are given. Count the pairs i < j whose {what} is exactly k.",
            f"In how many ways can two of the n {story} be chosen so that their {what} is k? Different positions count as different.",
            f"Count the pairs of positions (i, j), i < j, where the two values have the {what} k.",
        ),
        input="The first line contains n and k. The second line contains n integers.",
        output="Print the number of pairs.",
        case=case,
        edges=(([4], 4), ([2, 2], 4), ([2, 2, 2], 4), ([1, 2], 9)),
        layout=listed_with,
        answer=lambda a, k: sum(value(x, y) == k for x, y in combinations(a, 2)),
        solution=f"""
            n, k = map(int, input().split())
            a = list(map(int, input().split()))
            count = 0
            for i in range(n):
                for j in range(i + 1, n):
                    if {op} == k:
                        count += 1
            print(count)
            """,
    )


@family()
def nearest_value(rng: Random) -> Problem:
    tie = rng.choice(("smaller", "larger"))
    story = rng.choice(("numbers", "house numbers", "prices", "temperatures"))
    return Problem(
        say=(
            f"Among n {story} find the one closest to k. If two are equally close, print the {tie}.",
            f"Which of the n {story} differs least from k? Take the {tie} in case of a tie.",
            f"Print the value in the list with the smallest distance to k (the {tie} one if there are two).",
        ),
        input="The first line contains n and k. The second line contains n integers.",
        output="Print the number.",
        case=lambda size: (ints(rng, size, 0, 25), rng.randint(0, 20)),
        edges=(([4], 9), ([2, 6], 4), ([6, 2], 4), ([5, 5], 5)),
        layout=listed_with,
        answer=lambda a, k: next(
            x for d in range(99) for x in ((k - d, k + d) if tie == "smaller" else (k + d, k - d)) if x in a
        ),
        solution=f"""
            n, k = map(int, input().split())
            a = list(map(int, input().split()))
            print(min(a, key=lambda x: (abs(x - k), {"x" if tie == "smaller" else "-x"})))
            """,
    )


@family()
def merge_lists(rng: Random) -> Problem:
    first = rng.choice(("first", "second"))
    x, y = ("a", "b") if first == "first" else ("b", "a")
    return Problem(
        say=(
            f"Merge two lists of length n by taking numbers in turn from each, starting with the {first} list.",
            f"Print {x}[1], {y}[1], {x}[2], {y}[2], and so on, where a is the first list and b the second.",
            f"Two rows of n people form one row: one from each in turn, and the {first} row begins. Print the new row.",
        ),
        input=TWO_LISTS,
        output="Print the 2n numbers on one line.",
        case=lambda size: (ints(rng, size, 1, 20), ints(rng, size, 1, 20)),
        edges=(([4], [5]), ([1, 1], [2, 2]), ([1, 2, 3], [4, 5, 6])),
        layout=two_lists,
        answer=lambda a, b: [v for pair in zip(*((a, b) if x == "a" else (b, a)), strict=True) for v in pair],
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            b = list(map(int, input().split()))
            c = []
            for i in range(n):
                c.append({x}[i])
                c.append({y}[i])
            print(*c)
            """,
    )


@family()
def swap_pairs(rng: Random) -> Problem:
    return Problem(
        say=(
            "Swap neighbours in the list: the first number with the second, the third with the fourth, and so on. If n is odd, the last number stays.",
            "Exchange the elements at positions 1 and 2, then 3 and 4, and so on. A last element without a partner does not move.",
            "n dancers stand in a row. Dancers 1 and 2 change places, then 3 and 4, and so on; with odd n the last one stays. Print the new row.",
        ),
        input=list_input(rng),
        output="Print the n numbers on one line.",
        case=lambda size: (ints(rng, size + 1, 1, 20),),
        edges=(([4],), ([1, 2],), ([1, 2, 3],), ([5, 5, 6, 6],)),
        layout=lambda a: rows(len(a), a),
        answer=lambda a: [x for i in range(0, len(a), 2) for x in reversed(a[i : i + 2])],
        solution="""
            n = int(input())
            a = list(map(int, input().split()))
            for i in range(0, n - 1, 2):
                a[i], a[i + 1] = a[i + 1], a[i]
            print(*a)
            """,
    )
