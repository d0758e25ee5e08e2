"""First programs: one word and one short step."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import WORDS, text_input
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import rows

LONG = tuple(word for word in WORDS if len(word) >= 3)


def _input(rng: Random, more: str = "") -> str:
    return text_input(rng, "word s of lowercase letters" + more)


@family()
def word_price(rng: Random) -> Problem:
    k = rng.randint(2, 12)
    what, code, times = rng.choice(
        (("Print the length of the word s", "len(s)", 1), (f"Every letter of a sign costs {k} euro. Find the price of the sign s", f"len(s) * {k}", k))
    )  # fmt: skip
    say = (
        (f"{what}.", "How many letters does the word s have?", "Count the letters of s.")
        if times == 1
        else (f"{what}.", f"Print the number of letters of s multiplied by {k}.", f"A word earns {k} points per letter. How many points does s earn?")
    )  # fmt: skip
    return Problem(
        say=say,
        input=_input(rng),
        output="Print one integer.",
        case=lambda size: (rng.choice(LONG),),
        edges=(("a",), ("on",), ("banana",)),
        answer=lambda s: sum(times for _ in s),
        solution=f"""
            s = input().strip()
            print({code})
            """,
    )


@family()
def end_letters(rng: Random) -> Problem:
    first, one, two = rng.choice((("first", "s[0]", "s[-1]"), ("last", "s[-1]", "s[0]")))
    other = "last" if first == "first" else "first"
    sep, name = rng.choice((("", "without a space"), (" ", "with a space between them"), ("-", "with a dash between them")))  # fmt: skip
    code = f"{one}, {two}" if sep == " " else f'{one} + "-" + {two}' if sep else f"{one} + {two}"
    return Problem(
        say=(
            f"Print the {first} and then the {other} letter of the word s, {name}.",
            f"Take the {first} letter of s and the {other} letter of s and print them {name}.",
            f"What are the {first} and the {other} letter of s? Print them in this order, {name}.",
        ),
        input=_input(rng),
        output="Print the two letters on one line.",
        case=lambda size: (rng.choice(LONG),),
        edges=(("a",), ("on",), ("level",)),
        answer=lambda s: sep.join((s[0], s[len(s) - 1]) if first == "first" else (s[len(s) - 1], s[0])),
        solution=f"""
            s = input().strip()
            print({code})
            """,
    )


@family()
def repeat_string(rng: Random) -> Problem:
    return Problem(
        say=(
            "Print the word s n times, without spaces.",
            "Write s n times in a row on one line, with nothing between.",
            "Repeat the word s n times. Do not put spaces between the copies.",
        ),
        input="The first line contains the word s. The second line contains an integer n (n >= 1).",
        output="Print one line.",
        case=lambda size: (rng.choice(LONG), rng.randint(1, 5)),
        edges=(("a", 1), ("on", 4), ("cat", 2)),
        answer=lambda s, n: "".join(s for _ in range(n)),
        solution="""
            s = input().strip()
            n = int(input())
            print(s * n)
            """,
    )


@family()
def wrap_string(rng: Random) -> Problem:
    left, right = rng.choice((("(", ")"), ("[", "]"), ("<", ">"), ("*", "*"), ("#", "#"), ("--", "--")))
    form = f"{left}s{right}"
    return Problem(
        say=(
            f"Put the word s between {left} and {right} and print it.",
            f"Write the word s as {left}WORD{right}, where WORD is s.",
            f"Print {left}, then the word s, then {right}, all without spaces. The result looks like {form}.",
        ),
        input=_input(rng),
        output="Print the word with the signs around it.",
        case=lambda size: (rng.choice(LONG),),
        edges=(("a",), ("on",), ("moon",)),
        answer=lambda s: form.replace("s", s, 1),
        solution=f"""
            s = input().strip()
            print("{left}" + s + "{right}")
            """,
    )


@family()
def cut_letters(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("its first letter", "s[1:]", lambda s: s.replace(s[0], "", 1)),
            ("its last letter", "s[:-1]", lambda s: "".join([*s][: len(s) - 1])),
            ("its first two letters", "s[2:]", lambda s: "".join(c for i, c in enumerate(s) if i > 1)),
            ("its first and its last letter", "s[1:-1]", lambda s: "".join([*s][1 : len(s) - 1])),
        )
    )
    return Problem(
        say=(
            f"Print the word s without {what}.",
            f"Remove {what.replace('its', 'the')} of s.",
            f"Cut {what.replace('its', 'the')} off the word s and print the rest.",
        ),
        input=_input(rng, " (at least three letters)"),
        output="Print what is left.",
        case=lambda size: (rng.choice(LONG),),
        edges=(("cat",), ("ooo",), ("level",)),
        answer=value,
        solution=f"""
            s = input().strip()
            print({code})
            """,
    )


@family()
def join_two(rng: Random) -> Problem:
    sep, name = rng.choice((("-", "a dash"), ("_", "an underscore"), ("+", "a plus sign"), ("&", "the sign &"), (".", "a dot")))  # fmt: skip
    back = rng.random() < 0.3
    one, two = ("t", "s") if back else ("s", "t")
    return Problem(
        say=(
            f"Print {one} and {two} with {name} between them.",
            f"Join the words into one: first {one}, then {name}, then {two}.",
            f"Write {one}, {name} and {two} together without spaces.",
        ),
        input="Two lines: the word s, then the word t.",
        output=f"Print the result, which looks like {one}{sep}{two}.",
        case=lambda size: (rng.choice(LONG), rng.choice(LONG)),
        edges=(("a", "b"), ("sun", "sun"), ("rain", "on")),
        answer=lambda s, t: sep.join((t, s) if back else (s, t)),
        solution=f"""
            s = input().strip()
            t = input().strip()
            print({one} + "{sep}" + {two})
            """,
    )


@family()
def spread_letters(rng: Random) -> Problem:
    sep, name = rng.choice(((" ", "spaces"), (" ", "spaces"), ("-", "dashes"), (".", "dots"), ("*", "stars")))
    return Problem(
        say=(
            f"Print the letters of s with {name} between them.",
            f"Write the word s so that its letters are separated by {name}.",
            f"Spell the word s: print its letters on one line with {name} between neighbouring letters.",
        ),
        input=_input(rng),
        output=f"Print one line, for example c{sep}a{sep}t for cat.",
        case=lambda size: (rng.choice(LONG),),
        edges=(("a",), ("on",), ("moon",)),
        answer=lambda s: s[0] + "".join(sep + c for c in s[1:]),
        solution=f"""
            s = input().strip()
            print({"*s" if sep == " " else f'"{sep}".join(s)'})
            """,
    )


@family()
def kth_letter(rng: Random) -> Problem:
    start = rng.choice((0, 1))
    return Problem(
        say=(
            f"Print the letter of s at position k. Positions are counted from {start}.",
            f"The letters of the word s are numbered from {start}. Print letter number k.",
            f"Which letter stands at place k of the word s? The places are counted from {start}.",
        ),
        input="The first line contains the word s. The second line contains a valid position k.",
        output="Print one letter.",
        case=lambda size: (lambda s: (s, rng.randrange(len(s)) + start))(rng.choice(LONG)),
        edges=(("a", start), ("on", 1), ("river", 4 + start)),
        answer=lambda s, k: dict(enumerate(s, start))[k],
        solution=f"""
            s = input().strip()
            k = int(input())
            print(s[k{" - 1" if start else ""}])
            """,
    )


@family()
def turned_string(rng: Random) -> Problem:
    what, code, first = rng.choice((("", "s[::-1]", False), (", then the word itself", "s[::-1] + s", True)))
    return Problem(
        say=(
            f"Print the word s backwards{what}.",
            f"Print the letters of s from the last to the first{what}.",
            f"Write the reverse of the word s{what}.",
        ),
        input=_input(rng),
        output="Print one line without spaces.",
        case=lambda size: (rng.choice(LONG),),
        edges=(("a",), ("on",), ("level",)),
        answer=lambda s: "".join(reversed(s)) + s * first,
        solution=f"""
            s = input().strip()
            print({code})
            """,
    )


@family()
def letter_per_line(rng: Random) -> Problem:
    times = rng.choice((1, 1, 2, 3))
    what = {1: "once", 2: "twice (like aa)", 3: "three times (like aaa)"}[times]
    return Problem(
        say=(
            f"Print every letter of s on its own line, {what}.",
            f"For each letter of the word s print one line with this letter {what}.",
            f"Write the word s from top to bottom: one line per letter, with the letter {what} on the line.",
        ),
        input=_input(rng),
        output="Print one line per letter.",
        case=lambda size: (rng.choice(LONG),),
        edges=(("a",), ("on",), ("moon",)),
        answer=lambda s: rows(*["".join([c] * times) for c in s]),
        solution=f"""
            s = input().strip()
            for c in s:
                print(c{f" * {times}" if times > 1 else ""})
            """,
    )
