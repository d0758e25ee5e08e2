"""Formulas, loops over a range, growth: one or a few numbers in, numbers out."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from math import ceil
from random import Random

from strop.tasks.code_basics.draw import NAMES, number_input
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import one_line


@family()
def shopping_bill(rng: Random) -> Problem:
    first, second = rng.sample((("pen", 2), ("notebook", 5), ("mug", 7), ("lamp", 12), ("cake", 9), ("poster", 4)), 2)
    fee, who = rng.randint(1, 9), rng.choice(NAMES)
    return Problem(
        say=(
            f"A {first[0]} costs {first[1]} coins and a {second[0]} costs {second[1]} coins. {who} buys x of the first and y of "
            f"the second and pays {fee} coins for delivery. What is the total price?",
            f"Compute the bill for x {first[0]}s at {first[1]} coins each and y {second[0]}s at {second[1]} coins each, plus a fee of {fee} coins.",
            f"{who} orders x {first[0]}s ({first[1]} coins each) and y {second[0]}s ({second[1]} coins each). Delivery is {fee} coins. Find the sum to pay.",
        ),
        input="Two integers x and y on one line.",
        output="Print the total price.",
        case=lambda size: (rng.randint(0, 4 * size), rng.randint(0, 4 * size)),
        edges=((0, 0), (1, 0), (100, 250)),
        layout=one_line,
        answer=lambda a, b: first[1] * a + second[1] * b + fee,
        solution=f"""
            x, y = map(int, input().split())
            print(x * {first[1]} + y * {second[1]} + {fee})
            """,
    )


@family()
def share_equally(rng: Random) -> Problem:
    thing = rng.choice(("sweets", "apples", "cards", "marbles", "stickers"))
    who = rng.choice(("children", "players", "friends", "teams"))
    return Problem(
        say=(
            f"There are x {thing} to be shared equally among y {who}. How many does each of the {who} get, and how many are left over?",
            f"Share x {thing} equally between y {who}. Print how many each one gets and the number of {thing} that remain.",
            f"y {who} divide x {thing} into equal whole parts. Find the size of a part and the rest.",
        ),
        input="Two integers x and y on one line (y >= 1).",
        output=f"Print two numbers: the {thing} for each of the {who} and the {thing} left over.",
        case=lambda size: (rng.randint(0, 20 * size), rng.randint(1, 3 * size)),
        edges=((0, 3), (5, 1), (4, 9), (12, 4)),
        layout=one_line,
        answer=lambda a, b: divmod(a, b),
        solution="""
            x, y = map(int, input().split())
            print(x // y, x % y)
            """,
    )


@family()
def boxes_needed(rng: Random) -> Problem:
    thing, box, many = rng.choice(
        (
            ("eggs", "box", "boxes"),
            ("people", "boat", "boats"),
            ("bottles", "crate", "crates"),
            ("photos", "page", "pages"),
        )
    )
    k = rng.randint(3, 12)
    return Problem(
        say=(
            f"One {box} holds at most {k} {thing}. How many {many} are needed for n {thing}?",
            f"You have n {thing}. Each {box} has room for {k} of them. Find the smallest number of {many} that holds all {thing}.",
            f"n {thing} must be placed in {many} with up to {k} {thing} per {box}. Print the minimum number of {many}.",
        ),
        input=number_input(rng, "n", 0),
        output=f"Print the number of {many}.",
        case=lambda size: (rng.randint(1, 15 * size),),
        edges=((0,), (1,), (k,), (k + 1,), (10 * k,)),
        answer=lambda n: ceil(n / k),
        solution=f"""
            n = int(input())
            print((n + {k - 1}) // {k})
            """,
    )


@family()
def sum_of_multiples(rng: Random) -> Problem:
    k = rng.randint(2, 9)
    what, code, value = rng.choice(
        (
            ("sum of all integers", "x", lambda x: x),
            ("sum of the squares of all integers", "x * x", lambda x: x * x),
            ("number of integers", "1", lambda x: 1),
        )
    )
    return Problem(
        say=(
            f"Find the {what} from a to b (both included) that are divisible by {k}.",
            f"Given a and b, consider the range a, a+1, ..., b. Print the {what} in it that are multiples of {k}.",
            f"What is the {what} x with a <= x <= b such that x is divisible by {k}?",
        ),
        input="Two integers a and b on one line (1 <= a <= b).",
        output="Print one integer.",
        case=lambda size: (lambda a: (a, a + rng.randint(0, 6 * size)))(rng.randint(1, 5 * size)),
        edges=((k, k), (1, 1), (1, 100)),
        layout=one_line,
        answer=lambda a, b: sum(value(x) for x in range(k, b + 1, k) if x >= a),
        solution=f"""
            a, b = map(int, input().split())
            total = 0
            for x in range(a, b + 1):
                if x % {k} == 0:
                    total += {code}
            print(total)
            """,
    )


@family()
def progression(rng: Random) -> Problem:
    up = rng.random() < 0.7
    more, sign = ("more", "+") if up else ("less", "-")
    return Problem(
        say=(
            f"A sequence starts with a, and each next term is d {more} than the term before. Print its first n terms.",
            f"Print n numbers: the first is a, and every following number is d {more} than the previous one.",
            f"Write the first n terms of the sequence a, a{sign}d, a{sign}2d, and so on.",
        ),
        input="Three integers n, a and d on one line (n >= 1).",
        output="Print the n terms on one line separated by spaces.",
        case=lambda size: (rng.randint(2, 1 + size), rng.randint(-9, 30), rng.randint(0, 9)),
        edges=((1, 5, 3), (4, 0, 0), (6, -5, 2)),
        layout=one_line,
        answer=lambda n, a, d: [a + i * d if up else a - i * d for i in range(n)],
        solution=f"""
            n, a, d = map(int, input().split())
            print(*[a {sign} i * d for i in range(n)])
            """,
    )


@family()
def growth_until(rng: Random) -> Problem:
    factor = rng.choice((2, 3))
    word = {2: "doubles", 3: "triples"}[factor]
    what, unit = rng.choice(
        (("a colony of bacteria", "hour"), ("the number of rabbits", "month"), ("a savings plan", "year"))
    )

    def answer(a: int, b: int) -> int:
        return next(step for step in range(99) if a * factor**step >= b)

    return Problem(
        say=(
            f"The size of {what} is a at the start and {word} every {unit}. After how many {unit}s is it at least b?",
            f"A number starts at a and {word} each {unit}. Count the {unit}s until it is b or more.",
            f"Start with the value a. Each {unit} the value {word}. How many {unit}s pass until it is at least b?",
        ),
        input="Two integers a and b on one line (a >= 1).",
        output=f"Print the number of {unit}s (0 if a >= b).",
        case=lambda size: (rng.randint(1, 2 * size), rng.randint(5, 100 * size)),
        edges=((5, 5), (9, 2), (1, factor), (1, 1000000)),
        layout=one_line,
        answer=answer,
        solution=f"""
            a, b = map(int, input().split())
            count = 0
            while a < b:
                a *= {factor}
                count += 1
            print(count)
            """,
    )


@family("medium")
def collatz_steps(rng: Random) -> Problem:
    half, mul, add = rng.choice(((2, 3, 1), (2, 1, 1), (2, 1, 3)))
    odd = {(3, 1): "multiply it by 3 and add 1", (1, 1): "add 1 to it", (1, 3): "add 3 to it"}[(mul, add)]
    code = {(3, 1): "3 * n + 1", (1, 1): "n + 1", (1, 3): "n + 3"}[(mul, add)]
    stop = 3 if (mul, add) == (1, 3) else 1

    def answer(n: int) -> int:
        if n <= stop:
            return 0
        return 1 + answer(mul * n + add if n % 2 else n // half)

    return Problem(
        say=(
            f"Start with n. While n is greater than {stop}: if n is even, divide it by 2, otherwise {odd}. How many steps are made?",
            f"One step replaces an even number by its half; if the number is odd, {odd}. Count the steps from n until it is {stop} or less.",
            f"Repeat until n <= {stop}: halve n if it is even, else {odd}. Print how many times this was done.",
        ),
        input=number_input(rng),
        output="Print the number of steps.",
        case=lambda size: (rng.randint(2, 12 * size),),
        edges=((1,), (2,), (97,)),
        answer=answer,
        solution=f"""
            n = int(input())
            steps = 0
            while n > {stop}:
                if n % 2 == 0:
                    n //= 2
                else:
                    n = {code}
                steps += 1
            print(steps)
            """,
    )


@family()
def rectangle(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("area", "a * b", lambda a, b: a * b),
            ("perimeter", "2 * (a + b)", lambda a, b: a + b + a + b),
        )
    )
    thing = rng.choice(("rectangle", "garden", "room", "field", "picture"))
    shape = "" if thing == "rectangle" else "rectangular "
    return Problem(
        say=(
            f"The sides of a {shape}{thing} are a and b. Find its {what}.",
            f"Given the length a and the width b of a {shape}{thing}, print the {what}.",
            f"A {shape}{thing} is a metres long and b metres wide. What is its {what}?",
        ),
        input=(line := rng.choice(("Two integers a and b on one line.", "Two lines: a, then b. Both are integers."))),
        output=f"Print the {what}.",
        case=lambda size: (rng.randint(1, 9 * size), rng.randint(1, 9 * size)),
        edges=((1, 1), (1, 50), (1000, 999)),
        layout=one_line if "one line" in line else lambda a, b: f"{a}\n{b}",
        answer=value,
        solution=(
            "a, b = map(int, input().split())\n" if "one line" in line else "a = int(input())\nb = int(input())\n"
        )
        + f"print({code})",
    )


@family()
def fibonacci_like(rng: Random) -> Problem:
    k = rng.choice((1, 1, 2, 3))
    rule = "the sum of the two terms before it" if k == 1 else f"the previous term plus {k} times the term before that"
    code = "a + b" if k == 1 else f"b + {k} * a"

    def answer(a: int, b: int, n: int) -> int:
        terms = [a, b]
        while len(terms) < n:
            terms.append(terms[-1] + k * terms[-2])
        return terms[n - 1]

    return Problem(
        say=(
            f"The first two terms of a sequence are a and b. Every later term is {rule}. Find the n-th term.",
            f"A sequence begins with a, b; each next term is {rule}. Print term number n.",
            f"Given the first term a and the second term b, where each further term is {rule}, what is the n-th term?",
        ),
        input="Three integers a, b and n on one line (n >= 1).",
        output="Print the n-th term.",
        case=lambda size: (rng.randint(0, 9), rng.randint(0, 9), rng.randint(3, 4 + size)),
        edges=((3, 8, 1), (3, 8, 2), (0, 1, 20), (2, 2, 3)),
        layout=one_line,
        answer=answer,
        solution=f"""
            a, b, n = map(int, input().split())
            for i in range(n - 1):
                a, b = b, {code}
            print(a)
            """,
    )
