"""First programs: one question with two answers."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import NAMES, ints, number_input, yes_no
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import one_line


@family()
def divisible_by(rng: Random) -> Problem:
    k = rng.randint(3, 12)
    yes, no = yes_no(rng)
    return Problem(
        say=(
            f"Is n divisible by {k}? Answer {yes} or {no}.",
            f"Print {yes} if n is a multiple of {k}, otherwise {no}.",
            f"Check whether {k} divides n without a remainder.",
        ),
        input=number_input(rng, "n", 0),
        output=f"Print {yes} if n is divisible by {k}, otherwise {no}.",
        case=lambda size: (rng.choice((k * rng.randint(1, 2 * size), rng.randint(1, 15 * size))),),
        edges=((0,), (k,), (k + 1,), (k - 1,), (10 * k,)),
        answer=lambda n: yes if n in range(0, n + 1, k) else no,
        solution=f"""
            n = int(input())
            if n % {k} == 0:
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def pass_or_fail(rng: Random) -> Problem:
    limit, who = rng.randint(10, 60), rng.choice(NAMES)
    good, bad = rng.choice((("pass", "fail"), ("PASS", "FAIL"), ("passed", "failed"), ("win", "lose")))
    return Problem(
        say=(
            f"Print {good} if the score x is at least {limit}, otherwise print {bad}.",
            f"{who} scores x points and needs {limit} points or more. Print {good} if that is reached and {bad} if not.",
            f"A score below {limit} means {bad}; every other score means {good}. What does the score x mean?",
        ),
        input="One integer x (x >= 0).",
        output=f"Print {good} or {bad}.",
        case=lambda size: (rng.choice((rng.randint(0, limit - 1), rng.randint(limit, 100))),),
        edges=((limit,), (limit - 1,), (0,), (100,)),
        answer=lambda x: good if x in range(limit, 1000) else bad,
        solution=f"""
            x = int(input())
            if x >= {limit}:
                print("{good}")
            else:
                print("{bad}")
            """,
    )


@family()
def in_range(rng: Random) -> Problem:
    low = rng.randint(1, 30)
    high = low + rng.randint(4, 30)
    yes, no = rng.choice((yes_no(rng), ("inside", "outside"), ("IN", "OUT")))
    return Problem(
        say=(
            f"Print {yes} if x is between {low} and {high} (both included), otherwise {no}.",
            f"Is x at least {low} and at most {high}? Print {yes} if it is and {no} if not.",
            f"If {low} <= x <= {high}, print {yes}; else print {no}.",
        ),
        input="One integer x.",
        output=f"Print {yes} or {no}.",
        case=lambda size: (
            rng.choice((rng.randint(low, high), rng.randint(low - 20, low), rng.randint(high, high + 20))),
        ),
        edges=((low,), (high,), (low - 1,), (high + 1,)),
        answer=lambda x: yes if x in range(low, high + 1) else no,
        solution=f"""
            x = int(input())
            if {low} <= x <= {high}:
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def enough_money(rng: Random) -> Problem:
    price, thing, who = rng.randint(2, 15), rng.choice(("tickets", "cakes", "books", "pens", "toys")), rng.choice(NAMES)
    yes, no = yes_no(rng)
    return Problem(
        say=(
            f"{who} has x coins and wants n {thing} that cost {price} coins each. Is the money enough?",
            f"Can {who} pay for n {thing} at {price} coins each with x coins?",
            f"Each of the {thing} costs {price} coins. Check whether x coins are enough for n {thing}.",
        ),
        input="Two integers x and n on one line.",
        output=f"Print {yes} if the money is enough, otherwise {no}.",
        case=lambda size: (lambda n: (max(0, n * price + rng.randint(-9, 9)), n))(rng.randint(1, 3 * size)),
        edges=((0, 0), (3 * price, 3), (3 * price - 1, 3), (500, 1)),
        layout=one_line,
        answer=lambda coins, n: no if coins - sum([price] * n) < 0 else yes,
        solution=f"""
            x, n = map(int, input().split())
            if n * {price} <= x:
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def both_or_either(rng: Random) -> Problem:
    limit = rng.randint(3, 25)
    both = rng.random() < 0.5
    which, verb, joint = ("both a and b", "are", "and") if both else ("at least one of a and b", "is", "or")
    yes, no = yes_no(rng)
    return Problem(
        say=(
            f"Print {yes} if {which} {verb} greater than {limit}, otherwise {no}.",
            f"If a > {limit} {joint} b > {limit}, print {yes}, else print {no}.",
            f"Tell with {yes} or {no} whether {which} {verb} more than {limit}.",
        ),
        input="Two integers a and b on one line.",
        output=f"Print {yes} or {no}.",
        case=lambda size: tuple(limit + value for value in ints(rng, 2, -size - 2, size + 2)),
        edges=((limit, limit), (limit + 1, limit), (limit, limit + 1), (limit + 1, limit + 1), (0, 0)),
        layout=one_line,
        answer=lambda *values: yes if (min(values) if both else max(values)) > limit else no,
        solution=f"""
            a, b = map(int, input().split())
            if a > {limit} {joint} b > {limit}:
                print("{yes}")
            else:
                print("{no}")
            """,
    )
