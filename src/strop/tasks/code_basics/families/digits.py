"""Digits and bases."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import number_input, yes_no
from strop.tasks.code_basics.family import Problem, family


def _digits(n: int) -> list[int]:
    found = []
    while n:
        n, digit = divmod(n, 10)
        found.append(digit)
    return found[::-1] or [0]


@family()
def digit_sum(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("sum of the digits", "sum(int(c) for c in s)", sum),
            (
                "sum of the even digits",
                "sum(int(c) for c in s if int(c) % 2 == 0)",
                lambda d: sum(x for x in d if x % 2 == 0),
            ),
            (
                "sum of the odd digits",
                "sum(int(c) for c in s if int(c) % 2 == 1)",
                lambda d: sum(x for x in d if x % 2),
            ),
            ("sum of the squares of the digits", "sum(int(c) ** 2 for c in s)", lambda d: sum(x * x for x in d)),
        )
    )
    return Problem(
        say=(
            f"Find the {what} of n.",
            f"Given a number n, compute the {what}.",
            f"What is the {what} of the number n?",
        ),
        input=number_input(rng, "n", 0),
        output="Print one integer.",
        case=lambda size: (rng.randint(10, 10 ** (2 + size // 2)),),
        edges=((0,), (7,), (1000,), (9999,), (2468,)),
        answer=lambda n: value(_digits(n)),
        solution=f"""
            s = input().strip()
            print({code})
            """,
    )


@family()
def reverse_number(rng: Random) -> Problem:
    also, code = rng.choice(
        (("", "r"), (" and add the result to n", "int(s) + r"), (" and double the result", "2 * r"))
    )

    def answer(n: int) -> int:
        reverse = sum(digit * 10**i for i, digit in enumerate(_digits(n)))
        return {"r": reverse, "int(s) + r": n + reverse, "2 * r": 2 * reverse}[code]

    return Problem(
        say=(
            f"Write the digits of n in reverse order{also}. Leading zeros are dropped, so 120 becomes 21.",
            f"Reverse the number n (for example 120 becomes 21){also}.",
            f"Read the digits of n from right to left as a number{also}. Zeros in front do not count: 120 gives 21.",
        ),
        input=number_input(rng),
        output="Print the resulting number.",
        case=lambda size: (rng.randint(10, 10 ** (2 + size // 2)),),
        edges=((1,), (10,), (1200,), (101,)),
        answer=answer,
        solution=f"""
            s = input().strip()
            r = int(s[::-1])
            print({code})
            """,
    )


@family()
def digit_gap(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("difference between the largest and the smallest digit", "max(d) - min(d)", lambda d: max(d) - min(d)),
            ("product of the largest and the smallest digit", "max(d) * min(d)", lambda d: max(d) * min(d)),
            ("sum of the largest and the smallest digit", "max(d) + min(d)", lambda d: max(d) + min(d)),
        )
    )
    return Problem(
        say=(f"Find the {what} of n.", f"Given n, print the {what}.", f"Look at the digits of n. What is the {what}?"),
        input=number_input(rng),
        output="Print one integer.",
        case=lambda size: (rng.randint(10, 10 ** (2 + size // 2)),),
        edges=((7,), (100,), (5555,), (9081,)),
        answer=lambda n: value(_digits(n)),
        solution=f"""
            d = [int(c) for c in input().strip()]
            print({code})
            """,
    )


@family()
def digital_root(rng: Random) -> Problem:
    count_steps = rng.random() < 0.4

    def answer(n: int) -> int:
        steps = 0
        while n > 9:
            n, steps = sum(_digits(n)), steps + 1
        return steps if count_steps else n

    end = "How many times was it replaced?" if count_steps else "Which digit is left?"
    return Problem(
        say=(
            f"While n has more than one digit, it is replaced by the sum of its digits. {end}",
            f"Replace n by its digit sum again and again until it is less than 10. {end}",
            f"Take the sum of the digits of n, then the sum of the digits of the result, and so on until one digit remains. {end}",
        ),
        input=number_input(rng, "n", 0),
        output="Print the number of replacements." if count_steps else "Print the last digit that remains.",
        case=lambda size: (rng.randint(10, 10 ** (2 + size // 2)),),
        edges=((0,), (9,), (10,), (99999,), (199,)),
        answer=answer,
        solution="n = int(input())\n"
        + ("steps = 0\n" if count_steps else "")
        + "while n > 9:\n    n = sum(int(c) for c in str(n))\n"
        + ("    steps += 1\nprint(steps)" if count_steps else "print(n)"),
    )


@family()
def divisible_by_digits(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    return Problem(
        say=(
            f"Is the number n divisible by the sum of its digits? Answer {yes} or {no}.",
            "Check whether the sum of the digits of n divides n without remainder.",
            "A number is called friendly if it is a multiple of its own digit sum. Tell whether n is friendly.",
        ),
        input=number_input(rng),
        output=f"Print {yes} or {no}.",
        case=lambda size: (rng.choice((rng.randint(10, 50 * size), 9 * rng.randint(2, 20), 12 * rng.randint(1, 20))),),
        edges=((1,), (10,), (11,), (18,), (999,)),
        answer=lambda n: no if n % sum(_digits(n)) else yes,
        solution=f"""
            n = int(input())
            s = sum(int(c) for c in str(n))
            if n % s == 0:
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family("medium")
def to_base(rng: Random) -> Problem:
    base = rng.randint(2, 9)

    def answer(n: int) -> str:
        return answer(n // base) + str(n % base) if n >= base else str(n)

    return Problem(
        say=(
            f"Write the decimal number n in base {base}.",
            f"Convert n from base 10 to base {base}.",
            f"What does the number n look like in the number system with base {base}?",
        ),
        input=number_input(rng),
        output=f"Print the digits of n in base {base}.",
        case=lambda size: (rng.randint(1, 20 * size),),
        edges=((1,), (base - 1,), (base,), (base**3,), (1000,)),
        answer=answer,
        solution=f"""
            n = int(input())
            s = ""
            while n > 0:
                s = str(n % {base}) + s
                n //= {base}
            print(s)
            """,
    )


@family()
def from_binary(rng: Random) -> Problem:
    base = rng.choice((2, 2, 3, 8, 16))
    kind = {2: "binary", 3: "base 3", 8: "octal (base 8)", 16: "hexadecimal (base 16)"}[base]
    digits = "0123456789abcdef"[:base]

    def answer(s: str) -> int:
        return sum(digits.index(c) * base**i for i, c in enumerate(reversed(s)))

    return Problem(
        say=(
            f"Convert the {kind} number s to decimal.",
            f"s is a number written in {kind} notation. Print its value in the decimal system.",
            f"What is the decimal value of the {kind} number s?",
        ),
        input="One line with the number s.",
        output="Print the value as a decimal integer.",
        case=lambda size: (rng.choice(digits[1:]) + "".join(rng.choice(digits) for _ in range(rng.randint(1, size))),),
        edges=(("0",), ("1",), ("10",), ("11111",)),
        answer=answer,
        solution=f"""
            s = input().strip()
            print(int(s, {base}))
            """,
    )


@family()
def count_bits(rng: Random) -> Problem:
    bit = rng.choice("1110")
    name = "ones" if bit == "1" else "zeros"
    return Problem(
        say=(
            f"How many {name} are there in the binary form of n?",
            f"Write n in binary without leading zeros and count the {name}.",
            f"Count the digits {bit} in the binary representation of n (no leading zeros).",
        ),
        input=number_input(rng),
        output=f"Print the number of {name}.",
        case=lambda size: (rng.randint(2, 20 * size),),
        edges=((1,), (2,), (255,), (256,)),
        answer=lambda n: sum(n >> i & 1 == int(bit) for i in range(n.bit_length())),
        solution=f"""
            n = int(input())
            print(bin(n)[2:].count("{bit}"))
            """,
    )
