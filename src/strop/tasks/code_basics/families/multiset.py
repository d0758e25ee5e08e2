"""Equal and different values: frequencies and sets."""

from collections import Counter
from random import Random

from strop.tasks.code_basics.draw import ints, list_input, yes_no
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import listed


@family()
def most_frequent(rng: Random) -> Problem:
    tie = rng.choice(("smallest", "largest"))
    story = rng.choice(("shoe sizes", "votes for candidates with numbers", "numbers", "dice rolls"))
    return Problem(
        say=(
            f"Find the value that occurs most often among n {story}. If there are several, take the {tie}.",
            f"Which number appears most frequently in the list of n {story}? In case of a tie print the {tie} one.",
            f"n {story} are given. Print the most common value (the {tie} one if several are equally common).",
        ),
        input=list_input(rng),
        output="Print the value.",
        case=lambda size: (ints(rng, size + 1, 1, 6),),
        edges=(([4],), ([3, 3, 3],), ([1, 2],), ([2, 1, 2, 1, 5],)),
        layout=listed,
        answer=lambda a: max(Counter(a).items(), key=lambda item: (item[1], item[0] if tie == "largest" else -item[0]))[
            0
        ],
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            best = max(a.count(x) for x in a)
            print({"min" if tie == "smallest" else "max"}(x for x in a if a.count(x) == best))
            """,
    )


@family()
def count_distinct(rng: Random) -> Problem:
    what = rng.choice(("stamps", "cards", "guests", "colours"))
    more, code, value = rng.choice(
        (
            ("How many different numbers are there?", "len(set(a))", lambda a: len(Counter(a))),
            (
                "How many of them are repeats of an earlier number?",
                "n - len(set(a))",
                lambda a: len(a) - len(Counter(a)),
            ),
        )
    )
    return Problem(
        say=(
            f"A list of n {what}, each with a number, is given. {more}",
            f"n integers are given. {more}",
            f"The numbers of n {what} are written down. {more}",
        ),
        input=list_input(rng),
        output="Print the count.",
        case=lambda size: (ints(rng, size + 1, 1, 6),),
        edges=(([4],), ([3, 3, 3],), ([1, 2, 3],), ([2, 1, 2, 1],)),
        layout=listed,
        answer=value,
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            print({code})
            """,
    )


@family()
def only_once(rng: Random) -> Problem:
    none = rng.choice(("NONE", "-1"))
    return Problem(
        say=(
            "Print the numbers that occur exactly once in the list, in the given order.",
            "Some numbers have copies in the list. Print those that have no other copy, keeping their order.",
            "Leave out every number that appears two or more times. Print what remains.",
        ),
        input=list_input(rng),
        output=f"Print the numbers on one line, or {none} if there are none.",
        case=lambda size: (ints(rng, size + 1, 1, 8),),
        edges=(([4],), ([3, 3, 3],), ([1, 2, 3],), ([2, 1, 2, 1],), ([2, 1, 2],)),
        layout=listed,
        answer=lambda a: [x for x, times in Counter(a).items() if times == 1] or none,
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            b = [x for x in a if a.count(x) == 1]
            if b:
                print(*b)
            else:
                print("{none}")
            """,
    )


@family()
def drop_repeats(rng: Random) -> Problem:
    what = rng.choice(("number", "value"))
    return Problem(
        say=(
            f"Remove repeated {what}s: keep only the first occurrence of each {what}, in the given order.",
            f"Print every {what} of the list once, in the order in which the {what}s appear for the first time.",
            f"Copy the list but skip each {what} that was already seen.",
        ),
        input=list_input(rng),
        output="Print the remaining numbers on one line.",
        case=lambda size: (ints(rng, size + 1, 1, 6),),
        edges=(([4],), ([3, 3, 3],), ([3, 2, 1],), ([2, 1, 2, 1],)),
        layout=listed,
        answer=lambda a: list(dict.fromkeys(a)),
        solution="""
            n = int(input())
            a = list(map(int, input().split()))
            b = []
            for x in a:
                if x not in b:
                    b.append(x)
            print(*b)
            """,
    )


@family()
def missing_number(rng: Random) -> Problem:
    thing = rng.choice(("cards", "tickets", "chairs", "lockers"))
    start = rng.choice((0, 1))

    def case(size: int) -> tuple[int, list[int]]:
        n = size + 1
        gone = rng.randint(start, start + n - 1)
        rest = [x for x in range(start, start + n) if x != gone]
        rng.shuffle(rest)
        return n, rest

    last = "n" if start else "n - 1"
    return Problem(
        say=(
            f"The {thing} are numbered from {start} to {last}. One is missing. Which one?",
            f"A list holds all integers from {start} to {last} except one. Find the missing number.",
            f"Of the {thing} with the numbers {start} to {last} exactly one was lost. Print its number.",
        ),
        input="The first line contains n (n >= 2). The second line contains the n - 1 numbers that are left.",
        output="Print the missing number.",
        case=case,
        edges=((2, [start]), (2, [start + 1]), (4, [start + 3, start + 1, start])),
        answer=lambda n, rest: min(set(range(start, start + n)) - set(rest)),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            for x in range({start}, n{" + 1" if start else ""}):
                if x not in a:
                    print(x)
            """,
    )


@family()
def set_operation(rng: Random) -> Problem:
    what, sign, value = rng.choice(
        (
            ("in both lists", "&", lambda a, b: [x for x in sorted(set(a)) if x in b]),
            ("in the first list but not in the second", "-", lambda a, b: [x for x in sorted(set(a)) if x not in b]),
            ("in at least one of the two lists", "|", lambda a, b: sorted({*a, *b})),
        )
    )
    return Problem(
        say=(
            f"Find all numbers that are {what}.",
            f"Two lists of integers are given. Print the numbers that occur {what}.",
            f"Which numbers are {what}? Print each of them once.",
        ),
        input="Two lines. Each contains the integers of one list.",
        output="Print the numbers once each in increasing order"
        + (", or NONE if there are none." if sign != "|" else "."),
        case=lambda size: (ints(rng, (size + 3) // 2, 1, 9), ints(rng, (size + 3) // 2, 1, 9)),
        edges=(([4], [4]), ([4], [5]), ([3, 3], [3, 1]), ([1, 2, 3], [3, 2, 1])),
        answer=lambda a, b: value(a, b) or "NONE",
        solution=f"""
            a = set(map(int, input().split()))
            b = set(map(int, input().split()))
            c = sorted(a {sign} b)
            """
        + (
            "print(*c)"
            if sign == "|"
            else """if c:
                print(*c)
            else:
                print("NONE")"""
        ),
    )


@family()
def have_all(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    have, need = rng.choice(
        (
            ("in the kitchen", "in the recipe"),
            ("in the bag", "on the packing list"),
            ("in the shop", "on the shopping list"),
        )
    )
    pool = rng.sample(("salt", "rice", "milk", "eggs", "oil", "tea", "soap", "bread", "nuts", "jam"), 6)

    def case(size: int) -> tuple[list[str], list[str]]:
        first = rng.sample(pool, min(5, 1 + size))
        return first, rng.sample(first if rng.random() < 0.5 else pool, rng.randint(1, min(3, len(first))))

    return Problem(
        say=(
            f"The things {have} and the things {need} are given. Is everything {need} also {have}?",
            f"Check whether each thing {need} can be found {have}.",
            f"Print {yes} if nothing {need} is missing {have}, otherwise {no}.",
        ),
        input=f"The first line lists the things {have}, the second line the things {need}, separated by spaces.",
        output=f"Print {yes} or {no}.",
        case=case,
        edges=((pool[:1], pool[:1]), (pool[:1], pool[1:2]), (pool[:2], pool[:3]), (pool[:5], pool[2:4])),
        answer=lambda first, second: no if [x for x in second if x not in first] else yes,
        solution=f"""
            a = set(input().split())
            b = set(input().split())
            print("{yes}" if b <= a else "{no}")
            """,
    )
