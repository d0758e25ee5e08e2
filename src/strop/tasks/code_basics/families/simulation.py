"""Simulation: a state that changes step by step."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import ints, letters, list_input, text_input
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import counted, listed, listed_with, one_line


@family()
def robot_walk(rng: Random) -> Problem:
    keys = rng.choice(("UDRL", "NSEW", "^v><"))
    u, d, r, w = keys
    words = ("north", "south", "east", "west") if keys == "NSEW" else ("up", "down", "right", "left")
    moves = {u: (0, 1), d: (0, -1), r: (1, 0), w: (-1, 0)}
    rule = (
        f"{u} is {words[0]} (y + 1), {d} is {words[1]} (y - 1), {r} is {words[2]} (x + 1) and {w} is {words[3]} (x - 1)"
    )
    thing = rng.choice(("robot", "ship", "drone"))
    return Problem(
        say=(
            f"A {thing} starts at (0, 0) and follows the string of moves s: {rule}. Where does it end?",
            f"Find the final position of a {thing} that starts at x = 0, y = 0. In its commands, {rule}.",
            f"Each character of s moves a {thing} by one step: {rule}. It starts at (0, 0). Print its last position.",
        ),
        input=text_input(rng, "string s of moves"),
        output="Print x and y separated by a space.",
        case=lambda size: (letters(rng, size + 1, keys),),
        edges=((u,), (w,), (u + d,), (r * 5 + d * 2,)),
        answer=lambda s: [sum(moves[c][axis] for c in s) for axis in (0, 1)],
        solution=f"""
            s = input().strip()
            x = s.count("{r}") - s.count("{w}")
            y = s.count("{u}") - s.count("{d}")
            print(x, y)
            """,
    )


@family()
def distance_travelled(rng: Random) -> Problem:
    thing, unit, begin = rng.choice(
        (("lift", "floor", 0), ("lift", "floor", 1), ("train", "station", 0), ("crane", "metre", 0))
    )
    return Problem(
        say=(
            f"A {thing} starts at {unit} {begin} and visits n {unit}s in the given order. How many {unit}s does it travel in total?",
            f"From {unit} {begin} a {thing} goes to the first {unit} of the list, then to the second, and so on. Find the length of the whole way in {unit}s.",
            f"Compute the total distance of a {thing} that begins at {unit} {begin} and moves to each of n positions one after another.",
        ),
        input=list_input(rng),
        output="Print the total distance.",
        case=lambda size: (ints(rng, size, 0, 12),),
        edges=(([begin],), ([5],), ([3, 3],), ([9, 1, 9],)),
        layout=listed,
        answer=lambda a: sum(max(x, y) - min(x, y) for x, y in zip([begin, *a], a, strict=False)),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            pos = {begin}
            total = 0
            for x in a:
                total += abs(x - pos)
                pos = x
            print(total)
            """,
    )


@family()
def bus_load(rng: Random) -> Problem:
    thing, place = rng.choice((("bus", "stop"), ("train", "station"), ("ferry", "harbour"), ("lift", "floor")))

    def case(size: int) -> tuple[list[tuple[int, int]]]:
        load, stops = 0, []
        for _ in range(min(size, 8)):
            out, into = rng.randint(0, load), rng.randint(0, 9)
            load += into - out
            stops.append((out, into))
        return (stops,)

    return Problem(
        say=(
            f"A {thing} starts empty. At each of n {place}s some people get off and then some get on. What is the largest number of people in the {thing} at any time?",
            f"At the i-th {place}, a people leave the {thing} and b people enter. It is empty at the start. Find the maximum number of people on it.",
            f"How many seats does a {thing} need, so that everybody can sit? At every {place} a people get off first, then b people get on; it starts empty.",
        ),
        input=f"The first line contains n. Each of the next n lines contains a (people getting off) and b (people getting on) for one {place}.",
        output="Print the largest number.",
        case=case,
        edges=(([(0, 5)],), ([(0, 0)],), ([(0, 5), (5, 0)],), ([(0, 5), (5, 9), (2, 1)],)),
        layout=counted,
        answer=lambda stops: max(sum(b - a for a, b in stops[: i + 1]) for i in range(len(stops))),
        solution="""
            n = int(input())
            people = 0
            best = 0
            for _ in range(n):
                a, b = map(int, input().split())
                people += b - a
                best = max(best, people)
            print(best)
            """,
    )


@family("medium")
def make_change(rng: Random) -> Problem:
    coins = rng.choice(([10, 5, 1], [100, 20, 5, 1], [50, 10, 1], [25, 5, 1], [20, 10, 5, 1]))
    shown = ", ".join(map(str, coins[:-1])) + f" and {coins[-1]}"

    def answer(n: int) -> int:
        best = [0]
        for x in range(1, n + 1):
            best.append(1 + min(best[x - coin] for coin in coins if coin <= x))
        return best[n]

    return Problem(
        say=(
            f"Coins of {shown} are available. What is the smallest number of coins that makes exactly n?",
            f"Pay the amount n with as few coins as possible. There are coins of {shown}.",
            f"A machine returns n cents in coins of {shown}, always using the largest coin that fits. How many coins does it return?",
        ),
        input="A single integer n (n >= 0).",
        output="Print the number of coins.",
        case=lambda size: (rng.randint(1, 25 * size),),
        edges=((0,), (1,), (coins[0],), (coins[0] - 1,), (999,)),
        answer=answer,
        solution=f"""
            n = int(input())
            count = 0
            for c in {coins}:
                count += n // c
                n %= c
            print(count)
            """,
    )


@family("medium")
def ways_to_climb(rng: Random) -> Problem:
    steps = rng.choice(((1, 2), (1, 3), (1, 2, 3), (2, 3)))
    shown = ", ".join(map(str, steps[:-1])) + f" or {steps[-1]}"

    def answer(n: int) -> int:
        return 1 if n == 0 else sum(answer(n - s) for s in steps if s <= n)

    return Problem(
        say=(
            f"A staircase has n steps. You climb {shown} steps at a time. In how many ways can you reach the top?",
            f"Count the sequences of jumps of length {shown} that add up to exactly n. The order of the jumps matters.",
            f"In how many ways can n be written as an ordered sum of the numbers {shown.replace(' or', ' and')}?",
        ),
        input="A single integer n (n >= 1).",
        output="Print the number of ways.",
        case=lambda size: (rng.randint(2, 4 + size),),
        edges=((1,), (2,), (3,), (4,), (15,), (7,)),
        answer=answer,
        solution=f"""
            n = int(input())
            ways = [1] + [0] * n
            for i in range(1, n + 1):
                for s in {steps}:
                    if i >= s:
                        ways[i] += ways[i - s]
            print(ways[n])
            """,
    )


@family()
def josephus_line(rng: Random) -> Problem:
    who = rng.choice(("children", "players", "cards"))
    return Problem(
        say=(
            f"n {who} with numbers stand in a line. k times, the first one goes to the end if its number is even and leaves for good if it is odd. Print who is left.",
            "Do this k times: take the first of the n numbers away; if it is even, put it back at the end. Print the numbers that remain.",
            f"A line of n {who} is given by numbers. In each of k rounds the front one is removed, and it joins the line again at the back only if it is even. Print the final line.",
        ),
        input="The first line contains n and k (0 <= k < n). The second line contains n integers.",
        output="Print the remaining numbers on one line.",
        case=lambda size: (ints(rng, size + 1, 1, 20), rng.randint(1, size)),
        edges=(([4], 0), ([4, 6], 1), ([3, 6], 1), ([1, 3, 5, 7], 3)),
        layout=listed_with,
        answer=lambda a, k: a[k:] + [x for x in a[:k] if x % 2 == 0],
        solution="""
            n, k = map(int, input().split())
            a = list(map(int, input().split()))
            for _ in range(k):
                x = a.pop(0)
                if x % 2 == 0:
                    a.append(x)
            print(*a)
            """,
    )


@family()
def battery(rng: Random) -> Problem:
    use, what = rng.choice(((3, "battery"), (2, "tank"), (4, "battery"), (5, "tank")))
    gain = rng.randint(1, use - 1)
    thing = "percent" if what == "battery" else "litres"

    def answer(x: int, n: int) -> int:
        level = x
        for hour in range(1, n + 1):
            level = max(0, level - use) if hour % 2 else level + gain
        return level

    return Problem(
        say=(
            f"A {what} holds x {thing}. In hours 1, 3, 5, ... it loses {use} (but never falls below 0), and in hours 2, 4, 6, ... it gains {gain}. How much is left after n hours?",
            f"The level is x at first. Every odd hour lowers it by {use}, to 0 at least; every even hour raises it by {gain}. Find the level after n hours.",
            f"Starting at x {thing}, a {what} goes through n hours: in odd hours subtract {use} (the result is never less than 0), in even hours add {gain}. Print the final level.",
        ),
        input="Two integers x and n on one line.",
        output="Print the final level.",
        case=lambda size: (rng.randint(0, 30), rng.randint(1, 2 * size)),
        edges=((0, 1), (5, 0), (1, 2), (100, 50), (0, 9)),
        layout=one_line,
        answer=answer,
        solution=f"""
            x, n = map(int, input().split())
            for i in range(1, n + 1):
                if i % 2 == 1:
                    x = max(0, x - {use})
                else:
                    x += {gain}
            print(x)
            """,
    )
