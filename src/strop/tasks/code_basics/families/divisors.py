"""Divisors, primes, fractions, products."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from itertools import count
from math import gcd, prod
from random import Random

from strop.tasks.code_basics.draw import number_input, yes_no
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import one_line


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


@family()
def is_prime(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    return Problem(
        say=(
            "Is n a prime number?",
            "A prime is an integer greater than 1 that is divisible only by 1 and itself. Decide whether n is prime.",
            f"Print {yes} if n is a prime number and {no} if it is not.",
        ),
        input=number_input(rng),
        output=f"Print {yes} or {no}.",
        case=lambda size: (
            rng.choice((rng.randint(2, 12 * size), rng.choice((3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)))),
        ),
        edges=((1,), (2,), (4,), (49,), (97,)),
        answer=lambda n: yes if len(_divisors(n)) == 2 else no,
        solution=f"""
            n = int(input())
            prime = n > 1
            for d in range(2, n):
                if n % d == 0:
                    prime = False
            print("{yes}" if prime else "{no}")
            """,
    )


@family()
def divisors(rng: Random) -> Problem:
    what, end, value = rng.choice(
        (
            ("all divisors of n in increasing order", "print(*d)", list),
            ("the number of divisors of n", "print(len(d))", len),
            ("the sum of all divisors of n", "print(sum(d))", sum),
            ("all divisors of n in decreasing order", "print(*d[::-1])", lambda d: sorted(d, reverse=True)),
        )
    )
    return Problem(
        say=(
            f"Print {what} (1 and n are divisors too).",
            f"Find {what}. A divisor is a positive integer that divides n without remainder.",
            f"For a given n, compute {what}, including 1 and n.",
        ),
        input=number_input(rng),
        output=f"Print {what}" + (", separated by spaces." if "order" in what else "."),
        case=lambda size: (rng.randint(2, 12 * size),),
        edges=((1,), (2,), (36,), (97,), (100,)),
        answer=lambda n: value(_divisors(n)),
        solution=f"""
            n = int(input())
            d = [x for x in range(1, n + 1) if n % x == 0]
            {end}
            """,
    )


@family()
def smallest_divisor(rng: Random) -> Problem:
    low = rng.choice((2, 2, 3))
    more = "1" if low == 2 else "2"
    return Problem(
        say=(
            f"Find the smallest divisor of n that is greater than {more}.",
            f"What is the least integer d > {more} such that n is divisible by d?",
            f"Print the smallest number larger than {more} that divides n without remainder.",
        ),
        input=number_input(rng, "n", low),
        output="Print the divisor.",
        case=lambda size: (rng.randint(low, 20 * size),),
        edges=((low,), (9,), (49,), (97,), (15,)),
        answer=lambda n: next(d for d in count(low) if n % d == 0),
        solution=f"""
            n = int(input())
            d = {low}
            while n % d != 0:
                d += 1
            print(d)
            """,
    )


@family("medium")
def perfect_number(rng: Random) -> Problem:
    return Problem(
        say=(
            "Add up all divisors of n that are smaller than n. If the sum equals n, n is perfect; if it is smaller, n is deficient; if it is larger, n is abundant.",
            "Compare n with the sum of its divisors less than n: print perfect if they are equal, deficient if the sum is less than n, abundant if it is more.",
            "Is n perfect (equal to the sum of its divisors below n), deficient (the sum is smaller) or abundant (the sum is larger)?",
        ),
        input=number_input(rng),
        output="Print perfect, deficient or abundant.",
        case=lambda size: (rng.choice((6, 28, 12, 18, 20, 24, 30, rng.randint(2, 12 * size), rng.randint(2, 60))),),
        edges=((1,), (6,), (28,), (12,), (97,)),
        answer=lambda n: {0: "perfect", 1: "abundant"}.get(
            (sum(_divisors(n)) - n > n) - (sum(_divisors(n)) - n < n), "deficient"
        ),
        solution="""
            n = int(input())
            s = sum(d for d in range(1, n) if n % d == 0)
            if s == n:
                print("perfect")
            elif s < n:
                print("deficient")
            else:
                print("abundant")
            """,
    )


@family("medium")
def prime_factors(rng: Random) -> Problem:
    def answer(n: int) -> list[int]:
        if n == 1:
            return []
        p = next(d for d in count(2) if n % d == 0)
        return [p, *answer(n // p)]

    return Problem(
        say=(
            "Split n into its prime factors.",
            "Write n as a product of primes and print these primes in increasing order, with repetition.",
            "Find all prime factors of n, smallest first. A prime that divides n several times is printed several times.",
        ),
        input=number_input(rng, "n", 2),
        output="Print the prime factors in increasing order, separated by spaces.",
        case=lambda size: (rng.randint(2, 24 * size),),
        edges=((2,), (64,), (97,), (360,), (49,)),
        answer=answer,
        solution="""
            n = int(input())
            d = 2
            factors = []
            while n > 1:
                if n % d == 0:
                    factors.append(d)
                    n //= d
                else:
                    d += 1
            print(*factors)
            """,
    )


@family()
def simplify_fraction(rng: Random) -> Problem:
    sep = rng.choice(("/", " ", ":"))
    form = f"a{sep}b" if sep != " " else "the two numbers separated by a space"
    return Problem(
        say=(
            "Reduce the fraction a/b to lowest terms.",
            "Simplify a/b: divide both numbers by their greatest common divisor.",
            "Given a fraction with numerator a and denominator b, print it in its simplest form.",
        ),
        input="Two positive integers a and b on one line.",
        output=f"Print the reduced fraction as {form}.",
        case=lambda size: (lambda k: (k * rng.randint(1, 9), k * rng.randint(1, 9)))(rng.randint(1, 2 * size)),
        edges=((1, 1), (4, 2), (3, 7), (100, 75)),
        layout=one_line,
        answer=lambda a, b: f"{a // max(d for d in _divisors(a) if b % d == 0)}{sep}{b // gcd(a, b)}",
        solution=f"""
            from math import gcd
            a, b = map(int, input().split())
            g = gcd(a, b)
            print({f"f'{{a // g}}{sep}{{b // g}}'" if sep != " " else "a // g, b // g"})
            """,
    )


@family()
def meet_again(rng: Random) -> Problem:
    what, verb = rng.choice((("buses", "leave"), ("lamps", "flash"), ("bells", "ring"), ("ferries", "arrive")))
    return Problem(
        say=(
            f"Two {what} {verb} together now. One does so every a minutes, the other every b minutes. After how many minutes do they {verb} together again?",
            f"One of two {what} works with a period of a minutes and the other with b minutes; both {verb} at time 0. When do they next {verb} at the same time?",
            "Find the least positive number that is divisible by both a and b.",
        ),
        input="Two positive integers a and b on one line.",
        output="Print one integer.",
        case=lambda size: (rng.randint(1, 4 * size), rng.randint(1, 4 * size)),
        edges=((1, 1), (6, 4), (5, 5), (7, 9), (3, 12)),
        layout=one_line,
        answer=lambda a, b: next(m for m in count(a, a) if m % b == 0),
        solution="""
            from math import gcd
            a, b = map(int, input().split())
            print(a * b // gcd(a, b))
            """,
    )


@family()
def perfect_square(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    return Problem(
        say=(
            f"Is n a perfect square, that is, n = k * k for some integer k? Print {yes} or {no}.",
            "Tell whether n square tiles can be laid to form one full square, using all of them.",
            "Check if some integer multiplied by itself gives n.",
        ),
        input=number_input(rng),
        output=f"Print {yes} if it is so, otherwise {no}.",
        case=lambda size: (rng.choice((rng.randint(1, 15 * size), rng.randint(1, 4 * size) ** 2)),),
        edges=((1,), (2,), (49,), (50,), (1000000,)),
        answer=lambda n: yes if any(k * k == n for k in range(n + 1 if n < 999 else 1001)) else no,
        solution=f"""
            n = int(input())
            k = int(n ** 0.5)
            if k * k == n:
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def factorial(rng: Random) -> Problem:
    what, step = rng.choice(
        (("1 * 2 * 3 * ... * n", 1), ("1 * 3 * 5 * ... up to the last odd number that is at most n", 2))
    )
    return Problem(
        say=(
            f"Compute the product {what}.",
            f"Multiply the numbers {what.replace(' * ', ', ')} and print the result.",
            f"Given n, find {what}.",
        ),
        input=number_input(rng),
        output="Print the product.",
        case=lambda size: (rng.randint(2, 4 + size),),
        edges=((1,), (2,), (3,), (15,), (20,), (5,), (8,)),
        answer=lambda n: prod(range(1, n + 1, step)),
        solution=f"""
            n = int(input())
            p = 1
            for i in range(1, n + 1{", 2" if step == 2 else ""}):
                p *= i
            print(p)
            """,
    )
