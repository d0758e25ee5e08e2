"""First programs: a story of one sentence, told by one formula."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import NAMES, ints, number_input
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import one_line


@family()
def price_of_many(rng: Random) -> Problem:
    thing, price, who = (
        rng.choice(("pen", "book", "ticket", "cup", "ball", "hat")),
        rng.randint(2, 30),
        rng.choice(NAMES),
    )
    return Problem(
        say=(
            f"One {thing} costs {price} coins. How much do n {thing}s cost?",
            f"{who} buys n {thing}s for {price} coins each. Find the total price.",
            f"The price of a {thing} is {price} coins. Print the price of n {thing}s.",
        ),
        input=number_input(rng, "n", 0),
        output="Print the number of coins.",
        case=lambda size: (rng.randint(1, 8 * size),),
        edges=((0,), (1,), (100,)),
        answer=lambda n: sum([price] * n),
        solution=f"""
            n = int(input())
            print(n * {price})
            """,
    )


@family()
def money_back(rng: Random) -> Problem:
    thing, price, who = (
        rng.choice(("pen", "cake", "ticket", "cup", "ball", "card")),
        rng.randint(2, 12),
        rng.choice(NAMES),
    )

    def case(size: int) -> tuple[int, int]:
        n = rng.randint(1, 3 * size)
        return n * price + rng.randint(0, 10 * size), n

    return Problem(
        say=(
            f"{who} has x coins and buys n {thing}s for {price} coins each. How many coins are left?",
            f"A {thing} costs {price} coins. {who} buys n of them and pays with x coins. How much change does {who} get?",
            f"From x coins, n {thing}s at {price} coins each are paid. Print the coins that remain.",
        ),
        input=f"Two integers x and n on one line (x >= {price} * n).",
        output="Print the number of coins.",
        case=case,
        edges=((price, 1), (50, 0), (1000, 10)),
        layout=one_line,
        answer=lambda coins, n: coins - sum([price] * n),
        solution=f"""
            x, n = map(int, input().split())
            print(x - n * {price})
            """,
    )


@family()
def up_and_down(rng: Random) -> Problem:
    who = rng.choice(NAMES)
    first, second, question = rng.choice(
        (
            ("The temperature is x degrees.", "It rises by a degrees and then falls by b degrees.", "What is it now?"),
            ("A lift is on floor x.", "It goes up a floors and then down b floors.", "On which floor is it?"),
            (f"{who} has x coins.", "Then a coins come in and b coins are spent.", f"How many coins has {who} now?"),
            (
                "A bus carries x people.",
                "Then a people get on and b people get off.",
                "How many people are in the bus?",
            ),
        )
    )
    return Problem(
        say=(
            f"{first} {second} {question}",
            f"{first} {second} Print the new number.",
            f"{first} {second} Compute the result.",
        ),
        input="Three integers x, a and b on one line (b <= x + a).",
        output="Print one integer.",
        case=lambda size: (rng.randint(size, 10 * size), rng.randint(0, 9), rng.randint(0, size)),
        edges=((0, 0, 0), (5, 0, 5), (0, 7, 0), (20, 30, 40)),
        layout=one_line,
        answer=lambda x, a, b: sum((x, a, -b)),
        solution="""
            x, a, b = map(int, input().split())
            print(x + a - b)
            """,
    )


@family()
def age_in_year(rng: Random) -> Problem:
    year, who = rng.randint(2020, 2060), rng.choice(NAMES)
    return Problem(
        say=(
            f"{who} was born in the year y. How old does {who} become in {year}?",
            f"Someone was born in the year y. Print the age that this person reaches in the year {year}.",
            f"How many years pass from the year y to the year {year}?",
        ),
        input=f"One integer y, the year (1900 <= y <= {year}).",
        output="Print the number of years.",
        case=lambda size: (rng.randint(1930, year - 1),),
        edges=((year,), (1900,), (2000,)),
        answer=lambda y: len(range(y, year)),
        solution=f"""
            y = int(input())
            print({year} - y)
            """,
    )


@family()
def what_remains(rng: Random) -> Problem:
    k = rng.randint(2, 9)
    total = k * rng.randint(20, 40) + rng.randint(0, k - 1)
    story = rng.choice(
        (
            f"A book has {total} pages and {rng.choice(NAMES)} reads {k} pages a day. How many pages",
            f"A tank holds {total} litres of water and loses {k} litres a day. How many litres",
            f"A shop has {total} lamps and sells {k} of them every day. How many lamps",
        )
    )
    return Problem(
        say=(
            f"{story} are left after n days?",
            f"{story} remain when n days have passed?",
            f"{story} are left when n days are over?",
        ),
        input=f"One integer n (0 <= n <= {total // k}).",
        output="Print the number that is left.",
        case=lambda size: (rng.randint(1, 20),),
        edges=((0,), (1,), (total // k,)),
        answer=lambda n: total - sum([k] * n),
        solution=f"""
            n = int(input())
            print({total} - {k} * n)
            """,
    )


@family()
def count_legs(rng: Random) -> Problem:
    part, things = rng.choice(
        (
            ("legs", (("hens", 2), ("cows", 4), ("ants", 6), ("spiders", 8))),
            ("wheels", (("bicycles", 2), ("tricycles", 3), ("cars", 4), ("trucks", 6))),
            ("corners", (("triangles", 3), ("squares", 4), ("pentagons", 5), ("hexagons", 6))),
        )
    )
    (first, p), (second, q) = rng.sample(things, 2)
    return Problem(
        say=(
            f"How many {part} do a {first} and b {second} have together, with {p} {part} for each of the {first} and {q} for each of the {second}?",
            f"There are a {first} with {p} {part} each and b {second} with {q} {part} each. Count all {part}.",
            f"Every one of the a {first} has {p} {part}, every one of the b {second} has {q}. Find the total number of {part}.",
        ),
        input="Two integers a and b on one line.",
        output=f"Print the number of {part}.",
        case=lambda size: tuple(ints(rng, 2, 0, 4 * size)),
        edges=((0, 0), (1, 0), (0, 1), (50, 60)),
        layout=one_line,
        answer=lambda a, b: sum([p] * a + [q] * b),
        solution=f"""
            a, b = map(int, input().split())
            print({p} * a + {q} * b)
            """,
    )
