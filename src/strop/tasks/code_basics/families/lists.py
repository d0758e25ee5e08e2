"""One pass over a list: totals, extremes, positions, changes of every element."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import ints, list_input
from strop.tasks.code_basics.family import Problem, family, program
from strop.tasks.code_basics.layouts import listed, listed_with


@family()
def list_total(rng: Random) -> Problem:
    who, what = rng.choice(
        (("shop", "items sold"), ("runner", "kilometres run"), ("farm", "eggs collected"), ("child", "coins found"))
    )
    k = rng.randint(2, 9)
    extra, code, value = rng.choice(
        (
            ("", "sum(a)", sum),
            (f" Then multiply the sum by {k}.", f"sum(a) * {k}", lambda a: sum(k * x for x in a)),
            (f" Then add {k} to the sum.", f"sum(a) + {k}", lambda a: sum([k, *a])),
        )
    )
    return Problem(
        say=(
            f"A {who} keeps a list with the number of {what} on each of n days. Find the total.{extra}",
            f"Add up n numbers.{extra}",
            f"For every day the number of {what} by a {who} is given. Compute the sum.{extra}",
        ),
        input=list_input(rng),
        output="Print the result.",
        case=lambda size: (ints(rng, size, 0, 30),),
        edges=(([7],), ([0, 0, 0],), ([1000000] * 5,)),
        layout=listed,
        answer=value,
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            print({code})
            """,
    )


@family()
def list_extreme(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("largest number", "max(a)", lambda a: sorted(a)[-1]),
            ("smallest number", "min(a)", lambda a: sorted(a)[0]),
            (
                "difference between the largest and the smallest number",
                "max(a) - min(a)",
                lambda a: sorted(a)[-1] - sorted(a)[0],
            ),
            ("sum of the largest and the smallest number", "max(a) + min(a)", lambda a: sorted(a)[-1] + sorted(a)[0]),
        )
    )
    story = rng.choice(("n temperatures", "n heights", "n results of a test", "a list of n integers"))
    return Problem(
        say=(
            f"Given {story}, find the {what}.",
            f"What is the {what} among {story}?",
            f"You get {story}. Print the {what}.",
        ),
        input=list_input(rng),
        output="Print one integer.",
        case=lambda size: (ints(rng, size, -20, 40),),
        edges=(([5],), ([-3, -8, -1],), ([4, 4, 4],)),
        layout=listed,
        answer=value,
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            print({code})
            """,
    )


@family()
def position_of(rng: Random) -> Problem:
    last = rng.random() < 0.3
    which = "last" if last else "first"
    missing = rng.choice((-1, 0))
    search = (
        f"""
        pos = {missing}
        for i in range(n):
            if a[i] == x:
                pos = i + 1
        print(pos)
        """
        if last
        else f"""
        if x in a:
            print(a.index(x) + 1)
        else:
            print({missing})
        """
    )

    def answer(a: list[int], x: int) -> int:
        found = [i for i, value in enumerate(a, 1) if value == x]
        return found[-1 if last else 0] if found else missing

    return Problem(
        say=(
            f"Find the position of the {which} x in the list. Positions are counted from 1.",
            f"At which position (starting from 1) does the number x occur for the {which} time?",
            f"n people stand in a row with numbers on their shirts. Print the place (1 to n) of the {which} person with number x.",
        ),
        input="The first line contains n and x. The second line contains n integers.",
        output=f"Print the position, or {missing} if x is not there.",
        case=lambda size: (lambda a: (a, rng.choice([*a, 10])))(ints(rng, size, 1, 6)),
        edges=(([5], 5), ([5], 4), ([2, 2, 2], 2), ([1, 2, 1, 3], 1)),
        layout=listed_with,
        answer=answer,
        solution=program(
            """
            n, x = map(int, input().split())
            a = list(map(int, input().split()))
            """,
            search,
        ),
    )


@family()
def place_of_extreme(rng: Random) -> Problem:
    what, code = rng.choice((("largest", "max"), ("smallest", "min")))
    start = rng.choice((0, 1))
    return Problem(
        say=(
            f"Find the position of the {what} number. Positions start from {start}; if it occurs several times, take the first.",
            f"At which index (counting from {start}) is the {what} element? Print the smallest such index.",
            f"n days are numbered from {start} and each has a temperature. Print the number of the first day with the {what} temperature.",
        ),
        input=list_input(rng),
        output="Print one integer.",
        case=lambda size: (ints(rng, size, -9, 15),),
        edges=(([4],), ([3, 3, 3],), ([1, 5, 1, 5],), ([-2, -9, -4],)),
        layout=listed,
        answer=lambda a: start + min(range(len(a)), key=lambda i: -a[i] if code == "max" else a[i]),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            print(a.index({code}(a)){" + 1" if start else ""})
            """,
    )


@family()
def change_each(rng: Random) -> Problem:
    k = rng.randint(2, 9)
    what, code, value = rng.choice(
        (
            (f"add {k} to every number", f"x + {k}", lambda x: x + k),
            (f"multiply every number by {k}", f"x * {k}", lambda x: x * k),
            ("replace every number by its square", "x * x", lambda x: x**2),
            ("replace every number by its absolute value", "abs(x)", lambda x: max(x, -x)),
            (f"subtract {k} from every number", f"x - {k}", lambda x: x - k),
            (f"replace every number by its remainder modulo {k}", f"x % {k}", lambda x: x - x // k * k),
        )
    )
    return Problem(
        say=(
            f"Given n integers, {what}.",
            f"For a list of n numbers: {what} and print the new list.",
            f"{what.capitalize()} and show the list.",
        ),
        input=list_input(rng),
        output="Print the n new numbers on one line.",
        case=lambda size: (ints(rng, size, 0 if "modulo" in what else -9, 20),),
        edges=(([0],), ([9],), ([3, 3, 1],)),
        layout=listed,
        answer=lambda a: list(map(value, a)),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            print(*[{code} for x in a])
            """,
    )


@family()
def reverse_list(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("from last to first", "a[::-1]", lambda a: list(reversed(a))),
            ("from the last one back to the second one", "a[:0:-1]", lambda a: list(reversed(a[1:]))),
            ("in reverse order, and then in the given order again", "a[::-1], *a", lambda a: [*reversed(a), *a]),
        )
    )
    return Problem(
        say=(
            f"Print the n numbers {what}.",
            f"Read a list of integers and output its elements {what}.",
            f"Write the list {what}.",
        ),
        input=list_input(rng, "integers (n >= 2)" if "second" in what else "integers"),
        output="Print the numbers on one line separated by spaces.",
        case=lambda size: (ints(rng, size + 1, 0, 30),),
        edges=(([5, 6],), ([1, 2, 1],), ([3, 3],)),
        layout=listed,
        answer=value,
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            print(*{code})
            """,
    )


@family()
def rotate_list(rng: Random) -> Problem:
    left = rng.random() < 0.5
    side, code = ("left", "a[k:] + a[:k]") if left else ("right", "a[n - k:] + a[:n - k]")
    step = "the first element moves to the end" if left else "the last element moves to the front"
    return Problem(
        say=(
            f"Rotate the list k times to the {side}. In one rotation {step}.",
            f"In each of k steps {step} of the list. Print the final list.",
            f"n people stand in a line. k times {step} of the line. What is the final line?".replace(
                "element", "person"
            ),
        ),
        input="The first line contains n and k (0 <= k <= n). The second line contains n integers.",
        output="Print the n numbers after all rotations.",
        case=lambda size: (ints(rng, size, 1, 20), rng.randint(0, size)),
        edges=(([5], 0), ([5], 1), ([1, 2, 3], 3), ([1, 2, 3, 4], 1)),
        layout=listed_with,
        answer=lambda a, k: [a[(i + (k if left else -k)) % len(a)] for i in range(len(a))],
        solution=f"""
            n, k = map(int, input().split())
            a = list(map(int, input().split()))
            print(*({code}))
            """,
    )


@family()
def average(rng: Random) -> Problem:
    digits = rng.choice((1, 2))
    story = rng.choice(("grades of a student", "temperatures", "race times in seconds", "prices"))
    return Problem(
        say=(
            f"Compute the average of n {story}.",
            f"Given n {story}, find their mean value.",
            f"What is the average of the n numbers, which are {story}?",
        ),
        input=list_input(rng),
        output=f"Print the average with exactly {digits} digit{'s' * (digits > 1)} after the decimal point.",
        case=lambda size: (
            ints(rng, rng.choice((1, 2, 4, 5, 5, 10)) if size < 3 or size > 5 else rng.choice((2, 4, 5)), 1, 30),
        ),
        edges=(([3],), ([1, 2],), ([10, 20, 30, 40],), ([7, 7, 7],)),
        layout=listed,
        answer=lambda a: format(sum(a) / len(a), f".{digits}f"),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            print(f"{{sum(a) / n:.{digits}f}}")
            """,
    )
