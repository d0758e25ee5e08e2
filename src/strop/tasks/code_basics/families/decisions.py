"""Conditions: a few numbers in, a word or a choice out."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import NAMES, ints, number_input, yes_no
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import one_line


@family()
def pick_of_three(rng: Random) -> Problem:
    what, code, index = rng.choice((("largest", "max(a, b, c)", 2), ("smallest", "min(a, b, c)", 0)))
    return Problem(
        say=(
            f"Given three integers, print the {what} one.",
            f"Three friends scored a, b and c points. Find the {what} score.",
            f"Which of the numbers a, b, c is the {what}?",
        ),
        input="Three integers a, b and c on one line.",
        output=f"Print the {what} number.",
        case=lambda size: tuple(ints(rng, 3, -9, 20 * size)),
        edges=((5, 5, 5), (1, 2, 2), (-3, -1, -2), (9, 4, 9)),
        layout=one_line,
        answer=lambda *values: sorted(values)[index],
        solution=f"""
            a, b, c = map(int, input().split())
            print({code})
            """,
    )


@family()
def who_wins(rng: Random) -> Problem:
    first, second = rng.sample(NAMES, 2)
    tie = rng.choice(("TIE", "DRAW", "EQUAL"))
    verb, better = rng.choice((("scores a", "more points wins"), ("needs a", "fewer seconds wins")))
    high = verb == "scores a"
    unit = "points" if high else "seconds"
    return Problem(
        say=(
            f"{first} {verb} {unit} and {second} {verb.replace(' a', ' b')} {unit}. The one with {better}. Who wins?",
            f"In a game, {first} {verb} {unit}, {second} {verb.replace(' a', ' b')} {unit}, and the player with {better}. Find the winner.",
            f"Decide a match: {first} {verb} {unit}, {second} {verb.replace(' a', ' b')} {unit}. Whoever has {better}.",
        ),
        input="Two integers a and b on one line.",
        output=f"Print {first} or {second}, or {tie} if a = b.",
        case=lambda size: tuple(ints(rng, 2, 0, 9 * size)),
        edges=((4, 4), (0, 0), (1, 2), (2, 1)),
        layout=one_line,
        answer=lambda a, b: tie if a == b else first if (a > b) is high else second,
        solution=f"""
            a, b = map(int, input().split())
            if a {">" if high else "<"} b:
                print("{first}")
            elif a {"<" if high else ">"} b:
                print("{second}")
            else:
                print("{tie}")
            """,
    )


@family()
def fizz_words(rng: Random) -> Problem:
    p, q = rng.choice(((3, 5), (2, 7), (3, 7), (5, 7), (2, 5), (2, 3), (4, 5)))
    first, second, both = rng.choice((("Fizz", "Buzz", "FizzBuzz"), ("Tip", "Top", "TipTop"), ("red", "blue", "both")))
    return Problem(
        say=(
            f"For each i from 1 to n: if i is divisible by {p} and {q} print {both}, else if it is divisible by {p} print {first}, "
            f"else if it is divisible by {q} print {second}, else print i.",
            f"Count from 1 to n, but say {first} for multiples of {p}, {second} for multiples of {q} and {both} for multiples of both.",
            f"Print the numbers 1 to n. Replace multiples of {p} by {first}, multiples of {q} by {second}, and multiples of both by {both}.",
        ),
        input=number_input(rng),
        output="Print n lines, one for each number.",
        case=lambda size: (rng.randint(p, p + 3) if 3 <= size <= 5 else rng.randint(1, 30),),
        edges=((1,), (p * q,), (2 * p * q + 1,), (p,), (q,), (q + 1,), (100,)),
        answer=lambda n: "\n".join(
            (both if i % q == 0 else first) if i % p == 0 else second if i % q == 0 else str(i) for i in range(1, n + 1)
        ),
        solution=f"""
            n = int(input())
            for i in range(1, n + 1):
                if i % {p * q} == 0:
                    print("{both}")
                elif i % {p} == 0:
                    print("{first}")
                elif i % {q} == 0:
                    print("{second}")
                else:
                    print(i)
            """,
    )


@family()
def bands(rng: Random) -> Problem:
    low = rng.randint(3, 14)
    high = low + rng.randint(5, 50)
    what, (a, b, c) = rng.choice(
        (
            ("age", ("child", "adult", "senior")),
            ("temperature", ("cold", "warm", "hot")),
            ("score", ("bad", "fair", "good")),
            ("speed", ("slow", "normal", "fast")),
        )
    )
    return Problem(
        say=(
            f"Print {a} if the {what} x is less than {low}, {b} if it is from {low} to {high}, and {c} if it is more than {high}.",
            f"Every {what} below {low} is called {a}, every {what} above {high} is called {c}, and the rest is {b}. Classify the {what} x.",
            f"Name the {what} x: x < {low} means {a}, {low} <= x <= {high} means {b}, x > {high} means {c}.",
        ),
        input="One integer x.",
        output=f"Print {a}, {b} or {c}.",
        case=lambda size: (rng.randint(0, high + 20),),
        edges=((low - 1,), (low,), (high,), (high + 1,), (0,)),
        answer=lambda x: (a, b, c)[(x >= low) + (x > high)],
        solution=f"""
            x = int(input())
            if x < {low}:
                print("{a}")
            elif x <= {high}:
                print("{b}")
            else:
                print("{c}")
            """,
    )


@family()
def triangle_kind(rng: Random) -> Problem:
    style = rng.choice((("equilateral", "isosceles", "scalene"), ("EQUAL", "TWO", "NONE"), ("3", "2", "0")))
    three, two, none = style

    def case(size: int) -> tuple[int, int, int]:
        a, b = ints(rng, 2, 3, 6 + 3 * size)
        sides = rng.choice(([a, a, a], [a, a, b], [a, b, a], [b, a, a], [a, b, a + b - 1], [a, a + 1, a + 2]))
        return tuple(sides)

    return Problem(
        say=(
            f"The sides of a triangle are a, b and c. Print {three} if all sides are equal, {two} if exactly two are equal, and {none} if all are different.",
            f"Classify a triangle by its sides a, b, c: all equal means {three}, exactly two equal means {two}, no equal sides means {none}.",
            f"How many of the three sides are equal? Answer {three} for all three, {two} for exactly two and {none} for none.",
        ),
        input="Three positive integers a, b and c on one line.",
        output=f"Print {three}, {two} or {none}.",
        case=case,
        edges=((1, 1, 1), (2, 2, 3), (2, 3, 2), (3, 2, 2), (3, 4, 5)),
        layout=one_line,
        answer=lambda *sides: {1: three, 2: two, 3: none}[len(set(sides))],
        solution=f"""
            a, b, c = map(int, input().split())
            if a == b and b == c:
                print("{three}")
            elif a == b or b == c or a == c:
                print("{two}")
            else:
                print("{none}")
            """,
    )


@family()
def tiered_price(rng: Random) -> Problem:
    limit, cheap = rng.randint(3, 12), rng.randint(1, 4)
    dear = cheap + rng.randint(1, 5)
    thing, verb = rng.choice((("minutes", "talks"), ("kilometres", "drives"), ("pages", "prints"), ("units", "uses")))
    if rng.random() < 0.5:
        cheap, dear = dear, cheap
    return Problem(
        say=(
            f"The first {limit} {thing} cost {cheap} each; all further {thing} cost {dear} each. What is the price of n {thing}?",
            f"A customer {verb} n {thing}. Up to {limit} of them cost {cheap} coins each, and every one beyond costs {dear}. Find the total.",
            f"Price list: {cheap} coins for each of the first {limit} {thing}, {dear} coins for each of the others. Compute the cost of n {thing}.",
        ),
        input=number_input(rng, "n", 0),
        output="Print the total cost.",
        case=lambda size: (rng.randint(1, limit + 5 * size),),
        edges=((0,), (limit,), (limit + 1,), (100,), (limit - 1,)),
        answer=lambda n: sum(cheap if i < limit else dear for i in range(n)),
        solution=f"""
            n = int(input())
            if n <= {limit}:
                print(n * {cheap})
            else:
                print({limit * cheap} + (n - {limit}) * {dear})
            """,
    )


@family()
def leap_year(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    return Problem(
        say=(
            f"A year is a leap year if it is divisible by 4 but not by 100, or if it is divisible by 400. Is the year y a leap year? Answer {yes} or {no}.",
            "Leap years are the multiples of 4, except multiples of 100 that are not multiples of 400. Tell whether y is a leap year.",
            "Check whether y is a leap year: it must be divisible by 400, or divisible by 4 and not by 100.",
        ),
        input="One integer y, the year.",
        output=f"Print {yes} if y is a leap year, otherwise {no}.",
        case=lambda size: (
            rng.choice((rng.randint(1800, 2400), 4 * rng.randint(450, 600), 100 * rng.randint(15, 30))),
        ),
        edges=((2000,), (1900,), (2024,), (2023,), (2100,), (2400,)),
        answer=lambda y: yes if y % (400 if y % 100 == 0 else 4) == 0 else no,
        solution=f"""
            y = int(input())
            if y % 400 == 0 or (y % 4 == 0 and y % 100 != 0):
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def nearer(rng: Random) -> Problem:
    first, second = rng.sample(NAMES, 2)
    goal = rng.choice(("treasure", "ball", "bus stop", "shop", "house"))
    near = rng.random() < 0.7
    word, sign = ("closer to", "<") if near else ("farther from", ">")
    tie = rng.choice(("SAME", "BOTH"))
    return Problem(
        say=(
            f"{first} stands at position a, {second} at position b and the {goal} is at position c on a line. Who is {word} the {goal}?",
            f"On a number line are {first} (at a), {second} (at b) and a {goal} (at c). Tell who is {word} the {goal}.",
            f"The {goal} is at point c of a straight road. {first} is at point a and {second} at point b. Which of them is {word} it?",
        ),
        input="Three integers a, b and c on one line.",
        output=f"Print {first} or {second}, or {tie} if the distances are equal.",
        case=lambda size: tuple(ints(rng, 3, -5, 10 * size)),
        edges=((1, 5, 3), (2, 2, 9), (-4, 3, 0), (7, 0, 6)),
        layout=one_line,
        answer=lambda a, b, c: (
            tie if (a - c) ** 2 == (b - c) ** 2 else first if ((a - c) ** 2 < (b - c) ** 2) is near else second
        ),
        solution=f"""
            a, b, c = map(int, input().split())
            if abs(a - c) {sign} abs(b - c):
                print("{first}")
            elif abs(a - c) == abs(b - c):
                print("{tie}")
            else:
                print("{second}")
            """,
    )
