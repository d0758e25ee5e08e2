"""First programs: read a number or two, compute one formula, print the result."""

from random import Random

from strop.tasks.code_basics.draw import ints, number_input
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import one_line


@family()
def product_plus(rng: Random) -> Problem:
    k = rng.randint(1, 20)
    verb, sign, preposition = rng.choice((("add", "+", "to"), ("subtract", "-", "from")))
    return Problem(
        say=(
            f"Multiply a by b, then {verb} {k} {preposition} the product.",
            f"Given two integers a and b, print a * b {sign} {k}.",
            f"Find the product of a and b and {verb} {k} {preposition} it.",
        ),
        input="Two integers a and b on one line.",
        output="Print the result.",
        case=lambda size: tuple(ints(rng, 2, -3, 4 * size)),
        edges=((0, 7), (1, 1), (-4, 5), (100, 100)),
        layout=one_line,
        answer=lambda a, b: k + b * a if sign == "+" else -k + b * a,
        solution=f"""
            a, b = map(int, input().split())
            print(a * b {sign} {k})
            """,
    )


@family()
def difference_of_two(rng: Random) -> Problem:
    forward = rng.random() < 0.6
    x, y = ("a", "b") if forward else ("b", "a")
    return Problem(
        say=(
            f"Subtract {y} from {x}.",
            f"Given two integers a and b, print {x} minus {y}.",
            f"Compute the difference {x} - {y}.",
        ),
        input="Two lines: the integer a, then the integer b.",
        output=f"Print {x} - {y}.",
        case=lambda size: tuple(ints(rng, 2, -5, 15 * size)),
        edges=((6, 6), (0, 9), (9, 0), (-3, -8)),
        answer=lambda a, b: a - b if forward else b - a,
        solution=f"""
            a = int(input())
            b = int(input())
            print({x} - {y})
            """,
    )


@family()
def power_of_number(rng: Random) -> Problem:
    word, times, shape = rng.choice((("square", 2, "area of a square"), ("cube", 3, "volume of a cube")))
    code = rng.choice((" * ".join("n" * times), f"n ** {times}"))
    return Problem(
        say=(
            f"Print the {word} of the number n, which is {' * '.join('n' * times)}.",
            f"Read an integer n and compute n to the power of {times}.",
            f"Find the {shape} whose side is n.",
        ),
        input=number_input(rng),
        output="Print one integer.",
        case=lambda size: (rng.randint(2, 6 * size),),
        edges=((1,), (10,), (99,)),
        answer=lambda n: pow(n, times),
        solution=f"""
            n = int(input())
            print({code})
            """,
    )


@family()
def to_small_unit(rng: Random) -> Problem:
    big, small, k = rng.choice(
        (
            ("hours", "minutes", 60),
            ("minutes", "seconds", 60),
            ("days", "hours", 24),
            ("weeks", "days", 7),
            ("years", "months", 12),
            ("metres", "centimetres", 100),
            ("kilometres", "metres", 1000),
            ("dozens", "eggs", 12),
        )
    )
    one = f"One {big[:-1]} is {k} {small}."
    return Problem(
        say=(
            f"{one} How many {small} are a {big} and b {small} together?",
            f"Convert a {big} and b {small} to {small} only. {one}",
            f"{one} Print the total number of {small} in a {big} plus b {small}.",
        ),
        input="Two integers a and b on one line.",
        output=f"Print the number of {small}.",
        case=lambda size: (rng.randint(0, 2 * size), rng.randint(0, k - 1)),
        edges=((0, 0), (1, 0), (0, k - 1), (30, 1)),
        layout=one_line,
        answer=lambda a, b: sum([k] * a) + b,
        solution=f"""
            a, b = map(int, input().split())
            print(a * {k} + b)
            """,
    )


@family()
def mean_of_three(rng: Random) -> Problem:
    what = rng.choice(("numbers", "marks", "temperatures", "prices", "scores"))
    return Problem(
        say=(
            f"Find the average of the three {what} a, b and c, rounded down.",
            f"Add the {what} a, b and c and divide the sum by 3 (integer division).",
            f"Given three {what} a, b and c, print their mean without the fractional part.",
        ),
        input="Three non-negative integers a, b and c on one line.",
        output="Print one integer.",
        case=lambda size: tuple(ints(rng, 3, 0, 10 * size)),
        edges=((0, 0, 0), (5, 5, 5), (1, 0, 1), (1, 2, 3)),
        layout=one_line,
        answer=lambda *values: (sum(values) - sum(values) % 3) // 3,
        solution="""
            a, b, c = map(int, input().split())
            print((a + b + c) // 3)
            """,
    )


@family()
def one_digit(rng: Random) -> Problem:
    place, k = rng.choice((("ones", 1), ("tens", 10), ("hundreds", 100)))
    example = {1: 8, 10: 7, 100: 3}[k]
    return Problem(
        say=(
            f"Print the {place} digit of n. For 5378 it is {example}.",
            f"Which digit of n stands in the {place} place? In 5378 it is the {example}.",
            f"Find the {place} digit of the integer n (for example, {example} for 5378).",
        ),
        input=number_input(rng, "n", 100),
        output="Print one digit.",
        case=lambda size: (rng.randint(100, rng.choice((999, 99999))),),
        edges=((100,), (907,), (123456,)),
        answer=lambda n: str(n)[-len(str(k))],
        solution=f"""
            n = int(input())
            print({"n % 10" if k == 1 else f"n // {k} % 10"})
            """,
    )


@family()
def box_volume(rng: Random) -> Problem:
    thing = rng.choice(("box", "room", "brick", "tank"))
    return Problem(
        say=(
            f"A {thing} is a long, b wide and c high. Find its volume a * b * c.",
            f"Given the length a, the width b and the height c of a {thing}, print the volume.",
            f"The sides of a {thing} are a, b and c. Multiply them to get its volume.",
        ),
        input="Three lines with the positive integers a, b and c.",
        output="Print the volume.",
        case=lambda size: tuple(ints(rng, 3, 1, 3 * size)),
        edges=((1, 1, 1), (1, 2, 3), (10, 20, 30)),
        answer=lambda a, b, c: sum([sum([a] * b)] * c),
        solution="""
            a = int(input())
            b = int(input())
            c = int(input())
            print(a * b * c)
            """,
    )


@family()
def number_trick(rng: Random) -> Problem:
    add, times = rng.randint(1, 12), rng.randint(2, 9)
    return Problem(
        say=(
            f"Take a number n, add {add} to it and multiply the result by {times}.",
            f"Read n and print (n + {add}) * {times}.",
            f"Think of a number n. First add {add}, then multiply by {times}. What do you get?",
        ),
        input="One integer n.",
        output="Print the result.",
        case=lambda size: (rng.randint(-5, 12 * size),),
        edges=((0,), (-add,), (1,), (100,)),
        answer=lambda n: times * n + times * add,
        solution=f"""
            n = int(input())
            print((n + {add}) * {times})
            """,
    )


@family()
def neighbours(rng: Random) -> Problem:
    step = rng.choice((1, 1, 2, 5, 10))
    return Problem(
        say=(
            f"Print the numbers n - {step} and n + {step}.",
            f"Print the number that is {step} less than n and the number that is {step} more than n.",
            f"Which numbers do you get when you go {step} down and {step} up from n?",
        ),
        input="One integer n.",
        output="Print the two numbers on one line, the smaller one first.",
        case=lambda size: (rng.randint(-5, 20 * size),),
        edges=((0,), (1,), (-1,), (step,), (1000,)),
        answer=lambda n: [n + sign * step for sign in (-1, 1)],
        solution=f"""
            n = int(input())
            print(n - {step}, n + {step})
            """,
    )
