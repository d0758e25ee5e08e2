"""First programs: a list that is printed with one change, or in another form."""

from random import Random

from strop.tasks.code_basics.draw import ints
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import rows

ONE_LINE = "Print the numbers on one line, separated by spaces."
AND_K = "The first line contains the integers of the list. The second line contains the integer k."


def _line(rng: Random) -> str:
    return rng.choice(("One line of integers.", "One line with integers separated by spaces."))


@family()
def add_to_list(rng: Random) -> Problem:
    where, code, front = rng.choice((("end", "*a, k", False), ("beginning", "k, *a", True)))
    return Problem(
        say=(
            f"Put the number k at the {where} of the list and print the list.",
            f"Add k as a new element at the {where} of the list.",
            f"The number k joins the list at its {where}. Print the new list.",
        ),
        input=AND_K,
        output=ONE_LINE,
        case=lambda size: (ints(rng, size, 0, 20), rng.randint(0, 20)),
        edges=(([1], 2), ([4, 4], 4), ([0], 9)),
        answer=lambda a, k: [k, *a] if front else [*a, k],
        solution=f"""
            a = list(map(int, input().split()))
            k = int(input())
            print({code})
            """,
    )


@family()
def first_k_elements(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("the first k numbers", "a[:k]", lambda a, k: [x for i, x in enumerate(a) if i < k]),
            ("the last k numbers", "a[-k:]", lambda a, k: [x for i, x in enumerate(a) if i >= len(a) - k]),
        )
    )
    return Problem(
        say=(
            f"Print {what} of the list.",
            f"Read a list and a number k, and print only {what}.",
            f"Keep {what} of the list and leave out all others.",
        ),
        input=f"{AND_K} k is at least 1 and at most the length of the list.",
        output=ONE_LINE,
        case=lambda size: (ints(rng, size, 0, 20), rng.randint(1, size)),
        edges=(([5], 1), ([1, 2, 3], 3), ([1, 2, 3], 1)),
        answer=value,
        solution=f"""
            a = list(map(int, input().split()))
            k = int(input())
            print(*{code})
            """,
    )


@family()
def one_per_line(rng: Random) -> Problem:
    unit = rng.choice(("", " euro", " cm", " kg", " points", " minutes"))
    form = f', followed by "{unit[1:]}"' if unit else ""
    example = f" For example, 5 gives the line: 5{unit}" if unit else ""
    return Problem(
        say=(
            f"Print every number of the list on its own line{form}.{example}",
            f"Write each number on a separate line{form}.{example}",
            f"For each number of the list print one line with this number{form}.{example}",
        ),
        input=_line(rng),
        output="Print one line per number.",
        case=lambda size: (ints(rng, size, 0, 50),),
        edges=(([3],), ([1, 1],), ([10, 0, 5],)),
        answer=lambda a: rows(*[str(x) + unit for x in a]),
        solution=f"""
            a = input().split()
            for x in a:
                print(x{f', "{unit[1:]}"' if unit else ""})
            """,
    )


@family()
def numbers_joined(rng: Random) -> Problem:
    sep, name = rng.choice((("-", "dashes"), ("+", "plus signs"), (",", "commas"), ("/", "slashes"), (":", "colons")))
    return Problem(
        say=(
            f"Write the numbers of the list with {name} between them.",
            f"Join the numbers with {name} instead of spaces.",
            f"Print the list so that its numbers are separated by {name}.",
        ),
        input=_line(rng),
        output=f"Print one line, for example 1{sep}2{sep}3.",
        case=lambda size: (ints(rng, size, 0, 30),),
        edges=(([4],), ([0, 0],), ([10, 20, 30],)),
        answer=lambda a: "".join(sep * (i > 0) + str(x) for i, x in enumerate(a)),
        solution=f"""
            a = input().split()
            print("{sep}".join(a))
            """,
    )


@family()
def replace_element(rng: Random) -> Problem:
    which, index = rng.choice((("first", 0), ("second", 1), ("last", -1)))
    return Problem(
        say=(
            f"Replace the {which} number of the list by k and print the list.",
            f"Change the {which} element of the list to k. All other elements stay.",
            f"Print the list with k in place of its {which} number.",
        ),
        input=f"{AND_K} The list has at least two integers.",
        output=ONE_LINE,
        case=lambda size: (ints(rng, size + 1, 0, 20), rng.randint(0, 20)),
        edges=(([1, 2], 3), ([4, 4], 4), ([0, 0, 0], 1)),
        answer=lambda a, k: [k if i == index % len(a) else x for i, x in enumerate(a)],
        solution=f"""
            a = list(map(int, input().split()))
            k = int(input())
            a[{index}] = k
            print(*a)
            """,
    )
