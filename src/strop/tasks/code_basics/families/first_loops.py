"""First programs: one short loop counts, repeats or adds up."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import WORDS, number_input
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import one_line, rows


@family()
def count_up(rng: Random) -> Problem:
    start = rng.choice((0, 1, 1, 2, 5, 10))
    return Problem(
        say=(
            f"Print the numbers from {start} to n, one per line.",
            f"Count from {start} up to n and print every number on its own line.",
            f"Write all integers x with {start} <= x <= n in increasing order.",
        ),
        input=number_input(rng, "n", start),
        output="Print each number on its own line.",
        case=lambda size: (start + rng.randint(1, size + 3),),
        edges=((start,), (start + 1,), (start + 20,)),
        answer=lambda n: rows(*[start + i for i in range(n - start + 1)]),
        solution=f"""
            n = int(input())
            for i in range({start}, n + 1):
                print(i)
            """,
    )


@family()
def countdown(rng: Random) -> Problem:
    word = rng.choice(("Go", "Start", "Boom", "Done", "Hello", "END"))
    return Problem(
        say=(
            f"Count down from n to 1 and then print {word}.",
            f"Print the numbers n, n-1, ..., 1 and after them the word {word}.",
            f"Write a countdown that starts at n, ends at 1 and is followed by {word}.",
        ),
        input=number_input(rng),
        output=f"Print each number on its own line, then {word} on the last line.",
        case=lambda size: (rng.randint(2, size + 4),),
        edges=((1,), (2,), (15,)),
        answer=lambda n: rows(*reversed(range(1, n + 1)), word),
        solution=f"""
            n = int(input())
            for i in range(n, 0, -1):
                print(i)
            print("{word}")
            """,
    )


@family()
def first_multiples(rng: Random) -> Problem:
    k = rng.randint(3, 20)
    return Problem(
        say=(
            f"Print the first n multiples of {k}, starting with {k}.",
            f"Print {k} times 1, {k} times 2, and so on up to {k} times n.",
            f"Write the n numbers {k}, {2 * k}, {3 * k}, ..., each {k} more than the one before (only the first n of them).",
        ),
        input=number_input(rng),
        output="Print the n numbers on one line separated by spaces.",
        case=lambda size: (rng.randint(2, size + 4),),
        edges=((1,), (2,), (20,)),
        answer=lambda n: list(range(k, k * n + 1, k)),
        solution=f"""
            n = int(input())
            print(*[{k} * i for i in range(1, n + 1)])
            """,
    )


@family()
def sum_to_n(rng: Random) -> Problem:
    start = rng.choice((1, 1, 1, 2, 3, 4, 5, 10))
    return Problem(
        say=(
            f"Find the sum of all integers from {start} to n.",
            f"Add up the numbers {start}, {start + 1}, {start + 2} and so on, up to n. Print the total.",
            f"What is the sum of the numbers from {start} to n, both included?",
        ),
        input=number_input(rng, "n", start),
        output="Print the sum.",
        case=lambda size: (start + rng.randint(1, 4 * size),),
        edges=((start,), (start + 1,), (100,)),
        answer=lambda n: (n - start + 1) * (n + start) // 2,
        solution=f"""
            n = int(input())
            total = 0
            for i in range({start}, n + 1):
                total += i
            print(total)
            """,
    )


@family()
def sum_of_powers(rng: Random) -> Problem:
    word, code, example = rng.choice(
        (("squares", "i * i", "1 + 4 + 9 = 14"), ("cubes", "i * i * i", "1 + 8 + 27 = 36"))
    )
    cubes = word == "cubes"
    return Problem(
        say=(
            f"Find the sum of the {word} of 1, 2, ..., n.",
            f"For every i from 1 to n compute {code}, and print the sum of these values.",
            f"Add the {word} of the numbers from 1 to n. For n = 3 this is {example}.",
        ),
        input=number_input(rng),
        output="Print the sum.",
        case=lambda size: (rng.randint(2, 2 * size + 3),),
        edges=((1,), (3,), (50,)),
        answer=lambda n: (n * (n + 1) // 2) ** 2 if cubes else n * (n + 1) * (2 * n + 1) // 6,
        solution=f"""
            n = int(input())
            total = 0
            for i in range(1, n + 1):
                total += {code}
            print(total)
            """,
    )


@family()
def even_or_odd_list(rng: Random) -> Problem:
    kind, start = rng.choice((("even", 2), ("odd", 1)))
    return Problem(
        say=(
            f"Print all {kind} numbers from 1 to n.",
            f"List the {kind} numbers {start}, {start + 2}, {start + 4} and so on that are not greater than n.",
            f"Count in steps of 2, starting with {start}, as long as the number is at most n. Print these {kind} numbers.",
        ),
        input=number_input(rng, "n", 2),
        output="Print the numbers on one line separated by spaces.",
        case=lambda size: (rng.randint(3, 2 * size + 6),),
        edges=((2,), (3,), (4,), (30,)),
        answer=lambda n: [i for i in range(1, n + 1) if i % 2 == start % 2],
        solution=f"""
            n = int(input())
            print(*range({start}, n + 1, 2))
            """,
    )


@family()
def list_of_powers(rng: Random) -> Problem:
    k = rng.choice((2, 2, 2, 3, 4, 5, 10))
    return Problem(
        say=(
            f"Print the first n powers of {k}: 1, {k}, {k * k} and so on.",
            f"Start with 1 and always multiply by {k}. Print the first n numbers, 1 included.",
            f"Print {k} to the power of i for i = 0, 1, ..., n-1.",
        ),
        input=number_input(rng),
        output="Print the n numbers, each on its own line.",
        case=lambda size: (rng.randint(2, size + 3),),
        edges=((1,), (2,), (16,)),
        answer=lambda n: rows(*[k**i for i in range(n)]),
        solution=f"""
            n = int(input())
            x = 1
            for i in range(n):
                print(x)
                x *= {k}
            """,
    )


@family()
def numbered_lines(rng: Random) -> Problem:
    word = rng.choice([word for word in WORDS if len(word) > 2])
    first = rng.random() < 0.5
    shown = (1, word) if first else (word, 1)
    order = f"the number i and then the word {word}" if first else f"the word {word} and then the number i"
    return Problem(
        say=(
            f"Print n lines. Line i holds {order}, so the first line is: {one_line(*shown)}",
            f"For i from 1 to n print one line with {'i and ' + word if first else word + ' and i'}, separated by a space.",
            f"Write the word {word} n times, one per line, with the line number {'before' if first else 'after'} it (1, 2, 3, ...).",
        ),
        input=number_input(rng),
        output="Print n lines.",
        case=lambda size: (rng.randint(2, size + 3),),
        edges=((1,), (2,), (12,)),
        answer=lambda n: "\n".join(f"{i} {word}" if first else f"{word} {i}" for i in range(1, n + 1)),
        solution=f"""
            n = int(input())
            for i in range(1, n + 1):
                print({f'i, "{word}"' if first else f'"{word}", i'})
            """,
    )


@family()
def written_products(rng: Random) -> Problem:
    last, sign = rng.choice((3, 4, 5, 6, 10)), rng.choice(("x", "*", "times"))
    return Problem(
        say=(
            f"Print the products of n with 1 to {last} in the form: n {sign} i = result",
            f"For i from 1 to {last}, print a line with n, {sign}, i, = and the product of n and i, separated by spaces.",
            f"Write the multiplication table of n from 1 to {last}. For n = 7 the second line is: 7 {sign} 2 = 14",
        ),
        input=number_input(rng),
        output=f"Print {last} lines like: 7 {sign} 1 = 7",
        case=lambda size: (rng.randint(2, 4 * size),),
        edges=((1,), (10,), (25,)),
        answer=lambda n: "\n".join(f"{n} {sign} {i} = {n * i}" for i in range(1, last + 1)),
        solution=f"""
            n = int(input())
            for i in range(1, {last + 1}):
                print(n, "{sign}", i, "=", n * i)
            """,
    )


@family()
def repeat_step(rng: Random) -> Problem:
    k, plus = rng.choice((2, 2, 3)), rng.choice((0, 0, 1, 2, 3, 5))
    word = {2: "double", 3: "triple"}[k]
    more = f" and add {plus}" if plus else ""
    code = f"a * {k} + {plus}" if plus else f"a * {k}"

    def answer(a: int, n: int) -> int:
        return a * k**n + plus * sum(k**i for i in range(n))

    return Problem(
        say=(
            f"Start with the number a and {word} it{more}, n times in a row. Print the final number.",
            f"Do this n times: replace a by {code}. What is a at the end?",
            f"Each day the number a changes to {code}. Print its value after n days.",
        ),
        input="Two integers a and n on one line (n >= 0).",
        output="Print the final number.",
        case=lambda size: (rng.randint(1, 9), rng.randint(1, size)),
        edges=((5, 0), (0, 3), (1, 10)),
        layout=one_line,
        answer=answer,
        solution=f"""
            a, n = map(int, input().split())
            for i in range(n):
                a = {code}
            print(a)
            """,
    )


@family()
def numbers_between(rng: Random) -> Problem:
    down = rng.random() < 0.3
    first, last, order = ("b", "a", "decreasing") if down else ("a", "b", "increasing")
    return Problem(
        say=(
            f"Print all integers from {first} to {last}, both included, in {order} order.",
            f"Print the numbers {first}, {first}{'-' if down else '+'}1, ..., {last}.",
            f"List every integer x with a <= x <= b, the {'largest' if down else 'smallest'} first.",
        ),
        input="Two integers a and b on one line (a <= b).",
        output="Print the numbers on one line separated by spaces.",
        case=lambda size: (lambda a: (a, a + rng.randint(1, size + 2)))(rng.randint(-4, 6 * size)),
        edges=((5, 5), (-2, 2), (0, 1), (90, 110)),
        layout=one_line,
        answer=lambda a, b: sorted(set(range(a, b + 1)), reverse=down),
        solution=f"""
            a, b = map(int, input().split())
            print(*range({"b, a - 1, -1" if down else "a, b + 1"}))
            """,
    )


@family()
def halve_down(rng: Random) -> Problem:
    k = rng.choice((2, 2, 3, 5, 10))
    return Problem(
        say=(
            f"While n is greater than 0, print n and then divide it by {k}, rounding down.",
            f"Print n, then n divided by {k} (integer division), and go on like this with the new number. Stop before printing 0.",
            f"Repeat as long as n > 0: print n, then replace n by n // {k}.",
        ),
        input=number_input(rng),
        output="Print each number on its own line.",
        case=lambda size: (rng.randint(2, k * 10 * size),),
        edges=((1,), (k,), (k - 1,), (1000,)),
        answer=lambda n: rows(*[n // k**i for i in range(20) if n >= k**i]),
        solution=f"""
            n = int(input())
            while n > 0:
                print(n)
                n //= {k}
            """,
    )
