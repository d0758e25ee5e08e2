"""Time, the calendar and simple geometry."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from datetime import date, datetime, timedelta
from random import Random

from strop.tasks.code_basics.draw import ints, yes_no
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import one_line, rows

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def _clock(minutes: int) -> str:
    return (datetime(2000, 1, 1) + timedelta(minutes=minutes)).strftime("%H:%M")


@family()
def split_time(rng: Random) -> Problem:
    big, small, k = rng.choice(
        (
            ("hours", "minutes", 60),
            ("minutes", "seconds", 60),
            ("days", "hours", 24),
            ("weeks", "days", 7),
            ("years", "months", 12),
        )
    )
    return Problem(
        say=(
            f"Convert n {small} to {big} and {small} (1 {big[:-1]} = {k} {small}).",
            f"How many full {big} are in n {small}, and how many {small} are left? One {big[:-1]} has {k} {small}.",
            f"A trip takes n {small}. Write this as {big} and remaining {small}, where {k} {small} make one {big[:-1]}.",
        ),
        input="A single integer n (n >= 0).",
        output=f"Print the {big} and the {small} separated by a space.",
        case=lambda size: (rng.randint(1, 60 * size),),
        edges=((0,), (k - 1,), (k,), (10 * k + 1,)),
        answer=lambda n: (len(range(k, n + 1, k)), n - k * len(range(k, n + 1, k))),
        solution=f"""
            n = int(input())
            print(n // {k}, n % {k})
            """,
    )


@family("medium")
def add_minutes(rng: Random) -> Problem:
    event = rng.choice(("film", "lesson", "flight", "match", "concert"))
    return Problem(
        say=(
            f"A {event} starts at the time HH:MM and takes n minutes. When does it end?",
            "A clock shows HH:MM. What does it show n minutes later?",
            f"Given the start of a {event} as HH:MM and its length n in minutes, find the time at which it ends.",
        ),
        input="Two lines: the time HH:MM (24 hours), then the integer n.",
        output="Print the new time as HH:MM with two digits each. After 23:59 comes 00:00.",
        case=lambda size: (_clock(rng.randint(0, 1439)), rng.randint(1, 60 * size)),
        edges=(("00:00", 0), ("23:59", 1), ("23:30", 45), ("09:05", 1440), ("12:00", 61)),
        answer=lambda t, n: (datetime.strptime(t, "%H:%M") + timedelta(minutes=n)).strftime("%H:%M"),
        solution="""
            h, m = map(int, input().split(":"))
            n = int(input())
            t = (h * 60 + m + n) % 1440
            print(f"{t // 60:02d}:{t % 60:02d}")
            """,
    )


@family("medium")
def time_between(rng: Random) -> Problem:
    event = rng.choice(("shift", "journey", "party", "game"))
    return Problem(
        say=(
            f"A {event} starts at one time and ends at a later time of the same day. How many minutes does it take?",
            "Two times of the same day are given, the earlier one first. Find the number of minutes between them.",
            f"Find the length in minutes of a {event} from the first time to the second time, both on the same day.",
        ),
        input="Two lines, each with a time HH:MM (24 hours).",
        output="Print the number of minutes.",
        case=lambda size: tuple(map(_clock, sorted(ints(rng, 2, 0, 1439)))),
        edges=(("00:00", "23:59"), ("10:00", "10:00"), ("09:59", "10:00"), ("08:05", "17:00")),
        answer=lambda s, t: (datetime.strptime(t, "%H:%M") - datetime.strptime(s, "%H:%M")) // timedelta(minutes=1),
        solution="""
            h, m = map(int, input().split(":"))
            x, y = map(int, input().split(":"))
            print((x * 60 + y) - (h * 60 + m))
            """,
    )


@family()
def weekday_after(rng: Random) -> Problem:
    start = rng.randrange(7)
    back = rng.random() < 0.3
    when, was = ("n days ago", "was it") if back else ("in n days", "will it be")
    monday = date(2024, 1, 1)
    return Problem(
        say=(
            f"Today is {DAYS[start]}. Which day of the week {was} {when}?",
            f"Find the weekday {when} if today is {DAYS[start]}.",
            f"It is {DAYS[start]} today. Print the name of the day {when}.",
        ),
        input="A single integer n (n >= 0).",
        output="Print the name of the day, such as Monday.",
        case=lambda size: (rng.randint(1, 10 * size),),
        edges=((0,), (1,), (6,), (7,), (1000,)),
        answer=lambda n: (monday + timedelta(days=start + (-n if back else n))).strftime("%A"),
        solution=f"""
            days = {DAYS}
            n = int(input())
            print(days[({start} {"-" if back else "+"} n) % 7])
            """.replace("'", '"'),
    )


@family()
def point_distance(rng: Random) -> Problem:
    kind = rng.choice(("manhattan", "square"))
    rule, code = (
        ("|x1 - x2| + |y1 - y2|", "abs(a - c) + abs(b - d)")
        if kind == "manhattan"
        else ("(x1 - x2)^2 + (y1 - y2)^2", "(a - c) ** 2 + (b - d) ** 2")
    )
    name = "taxi distance" if kind == "manhattan" else "squared distance"
    return Problem(
        say=(
            f"Find the {name} {rule} of the points (x1, y1) and (x2, y2).",
            f"Two points are given. Compute their {name}, which is {rule}.",
            f"What is {rule} for the points (x1, y1) and (x2, y2)?",
        ),
        input="Two lines. The first contains x1 and y1, the second x2 and y2 (integers).",
        output=f"Print the {name}.",
        case=lambda size: (ints(rng, 2, -5, 10), ints(rng, 2, -5, 10)),
        edges=(([0, 0], [0, 0]), ([1, 2], [1, 5]), ([-3, -4], [3, 4])),
        answer=lambda p, q: sum(
            max(u - v, v - u) ** (1 if kind == "manhattan" else 2) for u, v in zip(p, q, strict=True)
        ),
        solution=f"""
            a, b = map(int, input().split())
            c, d = map(int, input().split())
            print({code})
            """,
    )


@family()
def quadrant(rng: Random) -> Problem:
    axis = rng.choice(("AXIS", "0", "NONE"))
    named = rng.choice((("1", "2", "3", "4"), ("NE", "NW", "SW", "SE")))
    ne, nw, sw, se = named
    return Problem(
        say=(
            f"Print {ne} if x and y are positive, {nw} if x < 0 < y, {sw} if both are negative, {se} if y < 0 < x, and {axis} if one of them is 0.",
            f"Name the part of the plane where the point (x, y) lies: right and up {ne}, left and up {nw}, left and down {sw}, right and down {se}, on an axis {axis}.",
            f"A point (x, y) is given. Upper right is {ne}, upper left {nw}, lower left {sw}, lower right {se}; a point on an axis is {axis}.",
        ),
        input="Two integers x and y on one line.",
        output="Print the name.",
        case=lambda size: tuple(ints(rng, 2, -9, 9)),
        edges=((0, 0), (0, 3), (-2, 0), (1, 1), (-1, 1), (-1, -1), (1, -1)),
        layout=one_line,
        answer=lambda x, y: axis if x * y == 0 else {(1, 1): ne, (0, 1): nw, (0, 0): sw, (1, 0): se}[(x > 0, y > 0)],
        solution=f"""
            x, y = map(int, input().split())
            if x == 0 or y == 0:
                print("{axis}")
            elif x > 0 and y > 0:
                print("{ne}")
            elif x < 0 and y > 0:
                print("{nw}")
            elif x < 0:
                print("{sw}")
            else:
                print("{se}")
            """,
    )


@family("medium")
def points_in_circle(rng: Random) -> Problem:
    strict = rng.random() < 0.4
    sign, rule = ("<", "less than r") if strict else ("<=", "at most r")
    thing = rng.choice(("points", "houses", "darts", "trees"))

    def case(size: int) -> tuple[int, list[list[int]]]:
        return rng.randint(2, 8), [ints(rng, 2, -7, 7) for _ in range(min(size, 8))]

    return Problem(
        say=(
            f"n {thing} have coordinates (x, y). Count those whose distance from (0, 0) is {rule}.",
            f"How many of the n {thing} satisfy x*x + y*y {sign} r*r?",
            f"A circle has its centre at (0, 0) and radius r. Count the {thing} whose distance from the centre is {rule}.",
        ),
        input="The first line contains n and r. Each of the next n lines contains two integers x and y.",
        output="Print the count.",
        case=case,
        edges=((5, [[3, 4]]), (1, [[0, 0]]), (1, [[2, 2], [-2, 0]]), (5, [[-3, -4], [0, 5], [5, 1]])),
        layout=lambda r, points: rows((len(points), r), *points),
        answer=lambda r, points: sum(abs(complex(*p)) < r + (-1e-9 if strict else 1e-9) for p in points),
        solution=f"""
            n, r = map(int, input().split())
            count = 0
            for _ in range(n):
                x, y = map(int, input().split())
                if x * x + y * y {sign} r * r:
                    count += 1
            print(count)
            """,
    )


@family("medium")
def overlap(rng: Random) -> Problem:
    who = rng.choice(("Two shops are", "Two lamps are", "Two machines are"))
    state = {"Two shops are": "open", "Two lamps are": "on", "Two machines are": "running"}[who]

    def case(size: int) -> tuple[list[int], list[int]]:
        return tuple(sorted(rng.sample(range(4 + 2 * size), 2)) for _ in range(2))

    return Problem(
        say=(
            f"{who} {state} from hour a to hour b and from hour c to hour d. For how many hours are both {state} at the same time?",
            "Find the length of the common part of the segments [a, b] and [c, d] on a line.",
            f"The first of two things is {state} from time a to time b, the second from c to d. How long are both {state} together?",
        ),
        input="Two lines. The first contains a and b (a < b), the second c and d (c < d).",
        output="Print the length, or 0 if there is no common part.",
        case=case,
        edges=(([0, 1], [2, 3]), ([0, 2], [2, 3]), ([0, 9], [3, 5]), ([3, 5], [0, 9]), ([1, 4], [1, 4])),
        answer=lambda p, q: len(set(range(*p)) & set(range(*q))),
        solution="""
            a, b = map(int, input().split())
            c, d = map(int, input().split())
            print(max(0, min(b, d) - max(a, c)))
            """,
    )


@family()
def right_angle(rng: Random) -> Problem:
    yes, no = yes_no(rng)

    def case(size: int) -> tuple[int, ...]:
        sides = rng.choice(
            ((3, 4, 5), (5, 12, 13), (6, 8, 10), (8, 15, 17), (4, 5, 6), (5, 5, 7), (2, 3, 4), (9, 12, 15), (7, 8, 9))
        )
        return tuple(rng.sample(sides, 3))

    return Problem(
        say=(
            "Three sides of a triangle are given in any order. Does it have a right angle, so that the square of the longest side equals the sum of the squares of the others?",
            "Sort three numbers to a <= b <= c and check whether a*a + b*b = c*c.",
            "Can the three numbers, in some order a, b, c, satisfy a*a + b*b = c*c?",
        ),
        input="Three positive integers on one line.",
        output=f"Print {yes} or {no}.",
        case=case,
        edges=((3, 4, 5), (5, 3, 4), (1, 1, 1), (5, 4, 6), (13, 12, 5)),
        layout=one_line,
        answer=lambda *s: yes if 2 * max(s) ** 2 == sum(x * x for x in s) else no,
        solution=f"""
            a, b, c = sorted(map(int, input().split()))
            if a * a + b * b == c * c:
                print("{yes}")
            else:
                print("{no}")
            """,
    )
