"""First programs: one condition decides what is printed."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import ints, number_input
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import one_line


@family()
def larger_of_two(rng: Random) -> Problem:
    word, code, index = rng.choice((("larger", "max(a, b)", 1), ("smaller", "min(a, b)", 0)))
    return Problem(
        say=(
            f"Print the {word} of the two integers a and b.",
            f"Given two integers a and b, which one is {word}? Print it.",
            f"Read a and b and find the {word} number.",
        ),
        input="Two integers a and b on one line.",
        output="Print one integer.",
        case=lambda size: tuple(ints(rng, 2, -9, 12 * size)),
        edges=((4, 4), (1, 2), (2, 1), (-5, -6)),
        layout=one_line,
        answer=lambda *values: sorted(values)[index],
        solution=f"""
            a, b = map(int, input().split())
            print({code})
            """,
    )


@family()
def gap_of_two(rng: Random) -> Problem:
    story = rng.choice(
        (
            "Two houses have the numbers a and b.",
            "Two people are a and b years old.",
            "Two stops are a and b kilometres from the start of a road.",
        )
    )
    return Problem(
        say=(
            f"{story} Print the absolute difference of a and b.",
            f"{story} Subtract the smaller number from the larger one.",
            f"{story} How far apart are the two numbers?",
        ),
        input="Two lines: the integer a, then the integer b.",
        output="Print the difference, which is never negative.",
        case=lambda size: tuple(ints(rng, 2, 0, 12 * size)),
        edges=((3, 3), (0, 8), (8, 0), (100, 1)),
        answer=lambda *values: max(values) - min(values),
        solution="""
            a = int(input())
            b = int(input())
            print(abs(a - b))
            """,
    )


@family()
def even_or_odd(rng: Random) -> Problem:
    even, odd = rng.choice(
        (("even", "odd"), ("EVEN", "ODD"), ("Even", "Odd"), ("red", "blue"), ("left", "right"), ("A", "B"))
    )
    return Problem(
        say=(
            f"Print {even} if n is even and {odd} if n is odd.",
            f"Is the number n even or odd? Answer {even} for an even number, {odd} for an odd number.",
            f"If n can be divided by 2 without a remainder, print {even}, otherwise print {odd}.",
        ),
        input=number_input(rng, "n", 0),
        output=f"Print {even} or {odd}.",
        case=lambda size: (rng.randint(1, 15 * size),),
        edges=((0,), (1,), (2,), (1001,)),
        answer=lambda n: odd if str(n)[-1] in "13579" else even,
        solution=f"""
            n = int(input())
            if n % 2 == 0:
                print("{even}")
            else:
                print("{odd}")
            """,
    )


@family()
def sign_of_number(rng: Random) -> Problem:
    plus, minus, zero = rng.choice(
        (
            ("positive", "negative", "zero"),
            ("PLUS", "MINUS", "ZERO"),
            ("profit", "loss", "even"),
            ("warm", "frost", "zero"),
        )
    )
    return Problem(
        say=(
            f"Print {plus} if x is greater than 0, {minus} if x is less than 0 and {zero} if x is 0.",
            f"A number above 0 is called {plus}, a number below 0 is called {minus}, and 0 is called {zero}. What is x called?",
            f"Compare x with 0: above means {plus}, below means {minus}, equal means {zero}.",
        ),
        input="One integer x.",
        output=f"Print {plus}, {minus} or {zero}.",
        case=lambda size: (rng.choice((0, rng.randint(-9 * size, -1), rng.randint(1, 9 * size))),),
        edges=((0,), (1,), (-1,), (1000,)),
        answer=lambda x: minus if str(x)[0] == "-" else plus if x else zero,
        solution=f"""
            x = int(input())
            if x > 0:
                print("{plus}")
            elif x < 0:
                print("{minus}")
            else:
                print("{zero}")
            """,
    )


@family()
def pack_or_single(rng: Random) -> Problem:
    k, thing = rng.randint(2, 9), rng.choice(("pens", "eggs", "cups", "apples", "rolls"))
    pack, single, same = rng.choice((("pack", "single", "same"), ("PACK", "SINGLE", "SAME"), ("A", "B", "EQUAL")))
    return Problem(
        say=(
            f"A pack of {k} {thing} costs a coins, and {k} single {thing} cost b coins each. Print {pack} if the pack is cheaper, {single} if the single ones are, else {same}.",
            f"A pack of {k} {thing} costs a coins, one alone costs b coins. Print {pack} if a is less than {k} * b, {single} if it is greater and {same} if they are equal.",
            f"You need {k} {thing}: together they cost a coins ({pack}), one by one they cost b coins each ({single}). Which way is cheaper? Print {same} if neither is.",
        ),
        input="Two integers a and b on one line.",
        output=f"Print {pack}, {single} or {same}.",
        case=lambda size: (lambda b: (max(1, k * b + rng.randint(-9, 9) * rng.randint(0, 1)), b))(
            rng.randint(1, 3 * size)
        ),
        edges=((2 * k, 2), (2 * k - 1, 2), (2 * k + 1, 2), (1, 50)),
        layout=one_line,
        answer=lambda a, b: (pack, same, single)[(a >= sum([b] * k)) + (a > sum([b] * k))],
        solution=f"""
            a, b = map(int, input().split())
            if a < {k} * b:
                print("{pack}")
            elif a > {k} * b:
                print("{single}")
            else:
                print("{same}")
            """,
    )


@family()
def group_ticket(rng: Random) -> Problem:
    limit, cheap = rng.randint(4, 15), rng.randint(2, 8)
    dear, place = cheap + rng.randint(1, 6), rng.choice(("zoo", "museum", "cinema", "pool", "castle"))
    return Problem(
        say=(
            f"A ticket for the {place} costs {dear} coins, but only {cheap} coins if the group has {limit} or more people. What does a group of n people pay?",
            f"n people visit the {place}. If n is at least {limit}, each pays {cheap} coins, otherwise each pays {dear} coins. Print the total price.",
            f"In the {place}, each person pays {dear} coins in a group of fewer than {limit} people, and {cheap} coins in a group of {limit} or more. Find what n people pay together.",
        ),
        input=number_input(rng),
        output="Print the total price.",
        case=lambda size: (rng.randint(1, limit + 3 * size),),
        edges=((1,), (limit - 1,), (limit,), (limit + 1,)),
        answer=lambda n: sum([dear if n < limit else cheap] * n),
        solution=f"""
            n = int(input())
            if n >= {limit}:
                print(n * {cheap})
            else:
                print(n * {dear})
            """,
    )


@family()
def cut_at_limit(rng: Random) -> Problem:
    limit = rng.randint(5, 60)
    top = rng.random() < 0.6
    word, sign, least = ("greater", ">", "largest") if top else ("less", "<", "smallest")
    return Problem(
        say=(
            f"If x is {word} than {limit}, print {limit}, otherwise print x.",
            f"The {least} value allowed is {limit}. Print x, or {limit} if x is {word} than {limit}.",
            f"Replace x by {limit} if it is {word} than {limit}, and print the value.",
        ),
        input="One integer x.",
        output="Print one integer.",
        case=lambda size: (limit + rng.randint(-15, 15),),
        edges=((limit,), (limit - 1,), (limit + 1,), (0,), (100,)),
        answer=lambda x: min(x, limit) if top else max(x, limit),
        solution=f"""
            x = int(input())
            if x {sign} {limit}:
                x = {limit}
            print(x)
            """,
    )


@family()
def smaller_first(rng: Random) -> Problem:
    first, last = rng.choice((("smaller", "larger"), ("larger", "smaller")))
    up = first == "smaller"
    return Problem(
        say=(
            f"Print the two integers a and b with the {first} one first.",
            f"Given a and b, print the {first} number and then the {last} number.",
            f"Put the numbers a and b in order: {first} before {last}.",
        ),
        input="Two integers a and b on one line.",
        output="Print the two numbers on one line.",
        case=lambda size: tuple(ints(rng, 2, -5, 12 * size)),
        edges=((4, 4), (1, 2), (2, 1), (-1, -7)),
        layout=one_line,
        answer=lambda *values: sorted(values, reverse=not up),
        solution=f"""
            a, b = map(int, input().split())
            if a {">" if up else "<"} b:
                a, b = b, a
            print(a, b)
            """,
    )
