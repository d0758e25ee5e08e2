"""Neighbours and running values."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from itertools import pairwise
from random import Random

from strop.tasks.code_basics.draw import ints, list_input, yes_no
from strop.tasks.code_basics.family import Problem, family, program
from strop.tasks.code_basics.layouts import listed

READ = """
    n = int(input())
    a = list(map(int, input().split()))
    """


@family()
def running_total(rng: Random) -> Problem:
    start = rng.choice((0, 0, 0, 5, 10, 100))
    what = rng.choice(("coins", "points", "litres", "visitors"))
    begin = f" It starts at {start}." if start else " It starts at 0."
    return Problem(
        say=(
            f"A counter of {what} is increased by each of the n numbers in turn.{begin} Print its value after every number.",
            f"Print the running totals of the list: the total after the first number, after the second, and so on.{begin.replace('It', 'The total')}",
            f"Every hour some {what} are added (or taken away, if the number is negative) to an amount.{begin} Show the amount after each hour.",
        ),
        input=list_input(rng),
        output="Print n numbers on one line.",
        case=lambda size: (ints(rng, size, -3, 15),),
        edges=(([4],), ([0, 0],), ([-5, 5, -5],)),
        layout=listed,
        answer=lambda a: [start + sum(a[: i + 1]) for i in range(len(a))],
        solution=program(
            READ,
            f"""
            s = {start}
            b = []
            for x in a:
                s += x
                b.append(s)
            print(*b)
            """,
        ),
    )


@family()
def running_extreme(rng: Random) -> Problem:
    what, code, value = rng.choice((("largest", "max", max), ("smallest", "min", min)))
    return Problem(
        say=(
            f"After each number is read, print the {what} number seen so far.",
            f"For every i from 1 to n find the {what} of the first i numbers.",
            f"Replace each element of the list by the {what} value among itself and all elements before it.",
        ),
        input=list_input(rng),
        output="Print n numbers on one line.",
        case=lambda size: (ints(rng, size, -5, 20),),
        edges=(([4],), ([3, 3, 3],), ([1, 2, 3, 4],), ([4, 3, 2, 1],)),
        layout=listed,
        answer=lambda a: [value(a[: i + 1]) for i in range(len(a))],
        solution=program(
            READ,
            f"""
            m = a[0]
            b = []
            for x in a:
                m = {code}(m, x)
                b.append(m)
            print(*b)
            """,
        ),
    )


@family()
def new_records(rng: Random) -> Problem:
    what, sign, value = rng.choice((("greater", ">", max), ("smaller", "<", min)))
    return Problem(
        say=(
            f"A result is a record if it is {what} than every result before it. The first result is a record too. Count the records.",
            f"Count the elements that are strictly {what} than all elements before them; the first element always counts.",
            f"How many times does a new {'maximum' if sign == '>' else 'minimum'} appear while the list is read from left to right? The first number is the first one.",
        ),
        input=list_input(rng),
        output="Print the number of records.",
        case=lambda size: (ints(rng, size + 1, 0, 20),),
        edges=(([4],), ([3, 3, 3],), ([1, 2, 3, 4],), ([4, 3, 2, 1],)),
        layout=listed,
        answer=lambda a: len({value(a[: i + 1]) for i in range(len(a))}),
        solution=program(
            READ,
            f"""
            best = a[0]
            count = 1
            for x in a:
                if x {sign} best:
                    best = x
                    count += 1
            print(count)
            """,
        ),
    )


@family()
def differences(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("the next number minus it", "a[i + 1] - a[i]", lambda x, y: y - x),
            ("the sum of it and the next number", "a[i] + a[i + 1]", lambda x, y: x + y),
            ("the product of it and the next number", "a[i] * a[i + 1]", lambda x, y: x * y),
            ("the larger of it and the next number", "max(a[i], a[i + 1])", lambda x, y: max(x, y)),
        )
    )
    return Problem(
        say=(
            f"For each number except the last, print {what}.",
            f"Build a new list of n - 1 numbers: for every element but the last one, take {what}.",
            f"Given n integers, compute for each of the first n - 1 of them {what}.",
        ),
        input=list_input(rng, "integers (n >= 2)"),
        output="Print n - 1 numbers on one line.",
        case=lambda size: (ints(rng, size + 1, -4, 12),),
        edges=(([4, 4],), ([1, 9],), ([9, 1, 9],)),
        layout=listed,
        answer=lambda a: list(map(value, a, a[1:])),
        solution=program(
            READ,
            f"""
            print(*[{code} for i in range(n - 1)])
            """,
        ),
    )


@family()
def count_rises(rng: Random) -> Problem:
    word, sign = rng.choice((("greater than", ">"), ("less than", "<"), ("equal to", "==")))
    story = rng.choice(("temperature", "price", "water level"))
    return Problem(
        say=(
            f"On n days the {story} was measured. On how many days was it {word} the {story} of the day before?",
            f"Count the numbers that are {word} the number directly before them.",
            f"How many elements of the list are {word} their left neighbour?",
        ),
        input=list_input(rng),
        output="Print the count.",
        case=lambda size: (ints(rng, size + 1, 0, 5),),
        edges=(([4],), ([3, 3, 3],), ([1, 2, 3, 4],), ([4, 3, 2, 1],)),
        layout=listed,
        answer=lambda a: sum({">": y > x, "<": y < x, "==": y == x}[sign] for x, y in pairwise(a)),
        solution=program(
            READ,
            f"""
            print(sum(1 for i in range(1, n) if a[i] {sign} a[i - 1]))
            """,
        ),
    )


@family()
def is_sorted(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    down = rng.random() < 0.4
    order = "decreasing" if down else "increasing"
    never = "smaller" if not down else "larger"

    def case(size: int) -> tuple[list[int]]:
        a = sorted(ints(rng, size + 1, 0, 20), reverse=down)
        if rng.random() < 0.5:
            rng.shuffle(a)
        return (a,)

    return Problem(
        say=(
            f"Check whether the numbers are sorted in {order} order. Equal neighbours are allowed.",
            f"Print {yes} if no number is {never} than the one before it, else {no}.",
            f"n people stand in a row. Is none of them {never} than the person directly before? The heights are given.",
        ),
        input=list_input(rng),
        output=f"Print {yes} or {no}.",
        case=case,
        edges=(([4],), ([3, 3],), ([1, 2],), ([2, 1],), ([1, 3, 2],)),
        layout=listed,
        answer=lambda a: yes if not any((y > x) if down else (y < x) for x, y in pairwise(a)) else no,
        solution=program(
            READ,
            f"""
            if a == sorted(a{", reverse=True" if down else ""}):
                print("{yes}")
            else:
                print("{no}")
            """,
        ),
    )


@family()
def peaks(rng: Random) -> Problem:
    word, sign = rng.choice((("greater", ">"), ("smaller", "<")))
    thing = "peak" if sign == ">" else "valley"
    s = 1 if sign == ">" else -1
    return Problem(
        say=(
            f"A {thing} is an element that is {word} than both of its neighbours. Count the {thing}s. The two ends are never {thing}s.",
            f"How many numbers, except the first and the last, are strictly {word} than the number before and the number after?",
            f"The heights of n points on a path are given. Count the {thing}s: inner points {word} than both points next to them.",
        ),
        input=list_input(rng),
        output=f"Print the number of {thing}s.",
        case=lambda size: (ints(rng, size + 2, 0, 9),),
        edges=(([4],), ([1, 2],), ([1, 2, 1],), ([2, 1, 2],), ([3, 3, 3, 3],)),
        layout=listed,
        answer=lambda a: sum(s * y > s * x and s * y > s * z for x, y, z in zip(a, a[1:], a[2:], strict=False)),
        solution=program(
            READ,
            f"""
            count = 0
            for i in range(1, n - 1):
                if a[i] {sign} a[i - 1] and a[i] {sign} a[i + 1]:
                    count += 1
            print(count)
            """,
        ),
    )
