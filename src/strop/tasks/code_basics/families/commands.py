"""Lines of commands, records and queries that change or read a state."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from collections import Counter
from itertools import accumulate
from random import Random

from strop.tasks.code_basics.draw import NAMES, names
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import counted, rows


@family()
def counter_commands(rng: Random) -> Problem:
    up, down = rng.choice((("inc", "dec"), ("up", "down"), ("plus", "minus"), ("in", "out")))
    start = rng.choice((0, 0, 1, 10))
    k = rng.choice((1, 1, 2, 5))
    return Problem(
        say=(
            f"A counter starts at {start}. The command {up} adds {k} to it and {down} subtracts {k}. What is its value after n commands?",
            f"Perform n commands on a number that is {start} at first: {up} means + {k}, {down} means - {k}. Print the final number.",
            f"x = {start}. For each line {up} increase x by {k}, for each line {down} decrease x by {k}. Find x at the end.",
        ),
        input=f"The first line contains n. Each of the next n lines is {up} or {down}.",
        output="Print the final value.",
        case=lambda size: ([rng.choice((up, down)) for _ in range(size)],),
        edges=(([up],), ([down],), ([up, down],), ([down, down, down],)),
        layout=counted,
        answer=lambda lines: start + k * lines.count(up) - k * lines.count(down),
        solution=f"""
            n = int(input())
            x = {start}
            for _ in range(n):
                s = input().strip()
                if s == "{up}":
                    x += {k}
                else:
                    x -= {k}
            print(x)
            """,
    )


@family("medium")
def account(rng: Random) -> Problem:
    put, take = rng.choice((("deposit", "withdraw"), ("add", "take"), ("load", "unload")))
    what = {"deposit": "bank account", "add": "cookie jar", "load": "truck"}[put]

    def answer(lines: list[tuple[str, int]]) -> int:
        def step(total: int, line: tuple[str, int]) -> int:
            return total + line[1] if line[0] == put else total - line[1] * (line[1] <= total)

        return list(accumulate(lines, step, initial=0))[-1]

    return Problem(
        say=(
            f"A {what} starts at 0. {put.capitalize()} x adds x. {take.capitalize()} x removes x, but it is ignored if fewer than x are there. Find the final amount.",
            f"Process n commands on a {what} that is empty at first: {put} x puts x in, {take} x removes x. But {take} x is skipped if x is more than the current amount. What is left?",
            f"The amount in a {what} is 0. After {put} x it is x larger, after {take} x it is x smaller; {take} x does nothing if it would make the amount negative. Print the amount at the end.",
        ),
        input=f"The first line contains n. Each of the next n lines is {put} x or {take} x with a positive integer x.",
        output="Print the final amount.",
        case=lambda size: ([(rng.choice((put, put, take)), rng.randint(1, 20)) for _ in range(size)],),
        edges=(([(put, 5)],), ([(take, 5)],), ([(put, 5), (take, 5)],), ([(put, 5), (take, 6), (take, 3)],)),
        layout=counted,
        answer=answer,
        solution=f"""
            n = int(input())
            total = 0
            for _ in range(n):
                s, x = input().split()
                x = int(x)
                if s == "{put}":
                    total += x
                elif x <= total:
                    total -= x
            print(total)
            """,
    )


@family("medium")
def phone_book(rng: Random) -> Problem:
    what = rng.choice(("phone number", "room number", "score", "age"))
    missing = rng.choice(("unknown", "NONE", "-1"))

    def case(size: int) -> tuple[list[tuple[str, int]], list[str]]:
        people = names(rng, max(1, min(size - 1, 6)))
        asked = [rng.choice([*people, rng.choice(NAMES)]) for _ in range(rng.randint(2, 3))]
        return [(name, rng.randint(1, 99)) for name in people], asked

    return Problem(
        say=(
            f"A list gives the {what} of n people. Answer q questions: what is the {what} of the person asked for?",
            f"Store n names with a {what} each. Then for each of q names print the {what}.",
            f"First n pairs are given, a name and a {what}. For each of q names after that, print the {what} that belongs to it.",
        ),
        input=f"The first line contains n and q. Then n lines with a name and the {what}, then q lines with a name.",
        output=f"Print q lines: the {what}, or {missing} if the name is not in the list.",
        case=case,
        edges=(([("Al", 5)], ["Al"]), ([("Al", 5)], ["Bo"]), ([("Al", 5), ("Bo", 7)], ["Bo", "Cy", "Al", "Bo"])),
        layout=lambda people, asked: rows((len(people), len(asked)), *people, *asked),
        answer=lambda people, asked: rows(*[next((x for name, x in people if name == q), missing) for q in asked]),
        solution=f"""
            n, q = map(int, input().split())
            d = {{}}
            for _ in range(n):
                name, x = input().split()
                d[name] = x
            for _ in range(q):
                print(d.get(input().strip(), "{missing}"))
            """,
    )


@family("medium")
def tally(rng: Random) -> Problem:
    what = rng.choice(("votes", "orders", "sightings", "sales"))
    pool = rng.sample(("apple", "bear", "cat", "deer", "eagle", "fig", "goat"), 4)
    return Problem(
        say=(
            f"n {what} are listed, one name per line. Count how often each name occurs.",
            f"Count the {what} for every name in a list of n lines.",
            "Each of n lines holds one name. Print for each different name how many times it appears.",
        ),
        input="The first line contains n. Each of the next n lines contains one name.",
        output="For each different name in alphabetical order print a line with the name and its count.",
        case=lambda size: ([rng.choice(pool) for _ in range(size)],),
        edges=(([pool[0]],), ([pool[1]] * 3,), ([pool[2], pool[0]],), (pool,)),
        layout=counted,
        answer=lambda lines: rows(*sorted(Counter(lines).items())),
        solution="""
            n = int(input())
            d = {}
            for _ in range(n):
                s = input().strip()
                d[s] = d.get(s, 0) + 1
            for s in sorted(d):
                print(s, d[s])
            """,
    )


@family("medium")
def stack(rng: Random) -> Problem:
    put, take = rng.choice((("push", "pop"), ("put", "take")))
    queue = rng.random() < 0.4
    end, index = ("oldest", "0") if queue else ("newest", "")
    place = rng.choice(("box", "list"))

    def case(size: int) -> tuple[list[str]]:
        depth, lines = 0, []
        for _ in range(size + 2):
            if depth and rng.random() < 0.4:
                lines.append(take)
                depth -= 1
            else:
                lines.append(f"{put} {rng.randint(1, 30)}")
                depth += 1
        return ([*lines, take] if depth else lines,)

    def answer(lines: list[str]) -> str:
        held: list[str] = []
        shown = []
        for line in lines:
            if line != take:
                held = [*held, line.split()[1]]
            else:
                shown.append(held[0] if queue else held[-1])
                held = held[1:] if queue else held[:-1]
        return rows(*shown)

    return Problem(
        say=(
            f"Perform n commands on an empty {place}: {put} x stores the number x, {take} removes the {end} number and prints it.",
            f"There are two commands: {put} x adds x to a {place}, and {take} removes and prints the {end} number in it. Run n of them.",
            f"Simulate a {place} of numbers. On {put} x keep x; on {take} print the {end} kept number and delete it.",
        ),
        input=f"The first line contains n. Each of the next n lines is {put} x or {take}. The {place} is never empty at a {take}.",
        output=f"For each {take} print the removed number on its own line.",
        case=case,
        edges=(([f"{put} 1", take],), ([f"{put} 1", f"{put} 2", take, take],), ([f"{put} 4", take, f"{put} 5", take],)),
        layout=counted,
        answer=answer,
        solution=f"""
            n = int(input())
            a = []
            for _ in range(n):
                s = input().split()
                if s[0] == "{put}":
                    a.append(s[1])
                else:
                    print(a.pop({index}))
            """,
    )
