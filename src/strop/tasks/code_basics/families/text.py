"""Lines of text that are changed, greeted, split."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import ints, names, text_input, words, yes_no
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import counted, rows

LINE = "words separated by single spaces"


@family()
def replace_text(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("each space by a hyphen", 's.replace(" ", "-")', lambda s: "-".join(s.split(" "))),
            ("each letter a by the letter o", 's.replace("a", "o")', lambda s: "".join("o" if c == "a" else c for c in s)),
            ("each letter e by the digit 3", 's.replace("e", "3")', lambda s: "".join("3" if c == "e" else c for c in s)),
            ("each space by a comma and a space", 's.replace(" ", ", ")', lambda s: ", ".join(s.split(" "))),
            ("each vowel (a, e, i, o, u) by a star *", '"".join("*" if c in "aeiou" else c for c in s)',
             lambda s: s.translate(str.maketrans("aeiou", "*****"))),
        )
    )  # fmt: skip
    return Problem(
        say=(
            f"Replace {what} in the line.",
            f"Read a line of text and replace {what}.",
            f"Print the sentence again with one change: replace {what}.",
        ),
        input=text_input(rng, f"sentence ({LINE}, lowercase letters)"),
        output="Print the new line.",
        case=lambda size: (" ".join(words(rng, size)),),
        edges=(("a",), ("sky",), ("banana tree",)),
        answer=value,
        solution=f"""
            s = input()
            print({code})
            """,
    )


@family()
def split_fields(rng: Random) -> Problem:
    sep, name = rng.choice(
        ((",", "commas"), (";", "semicolons"), ("-", "hyphens"), (":", "colons"), ("+", "plus signs"))
    )
    what, code, value = rng.choice(
        (
            ("sum of the numbers", "sum(a)", sum),
            ("largest number", "max(a)", lambda a: sorted(a)[-1]),
            ("number of numbers", "len(a)", len),
            ("last number minus the first number", "a[-1] - a[0]", lambda a: a[len(a) - 1] - a[0]),
        )
    )
    return Problem(
        say=(
            f"The line holds non-negative integers separated by {name}. Find the {what}.",
            f"Split the line at the {name} and print the {what}.",
            f"Numbers are written with {name} between them. What is the {what}?",
        ),
        input=f"One line of integers separated by {name}, without spaces.",
        output="Print one integer.",
        case=lambda size: (sep.join(map(str, ints(rng, size, 0, 30))),),
        edges=(("7",), (f"0{sep}0",), (f"5{sep}1{sep}3",)),
        answer=lambda s: value([int(part) for part in s.replace(sep, " ").split()]),
        solution=f"""
            a = list(map(int, input().split("{sep}")))
            print({code})
            """,
    )


@family()
def distinct_letters(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    ask = rng.random() < 0.6
    return Problem(
        say=(
            "Are all letters of the word s different?",
            "Check that no letter occurs twice in s.",
            "Decide whether s is made of letters that are all different from each other.",
        )
        if ask
        else (
            "How many different letters does the word s have?",
            "Count the distinct letters of s.",
            "A letter that occurs several times is counted once. How many letters are used in s?",
        ),
        input=text_input(rng, "word s of lowercase letters"),
        output=f"Print {yes} or {no}." if ask else "Print the count.",
        case=lambda size: ("".join(rng.sample("abcdefgh", rng.randint(2, 6)) + rng.choice(([], ["a"]))),),
        edges=(("a",), ("aa",), ("abc",), ("abca",), ("zzzz",)),
        answer=lambda s: (
            (yes if max(s.count(c) for c in s) == 1 else no) if ask else sum(c not in s[:i] for i, c in enumerate(s))
        ),
        solution="s = input().strip()\n"
        + (f'if len(set(s)) == len(s):\n    print("{yes}")\nelse:\n    print("{no}")' if ask else "print(len(set(s)))"),
    )


@family()
def pangram(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    needed = rng.choice(("aeiou", "aet", "ert", "nrs", "aeo", "lnt"))
    shown = ", ".join(needed)

    return Problem(
        say=(
            f"Does the line contain every one of the letters {shown} at least once?",
            f"Check whether all of the letters {shown} occur in the sentence.",
            f"A line is called complete if it has each of the letters {shown}. Is it complete?",
        ),
        input=text_input(rng, "line of lowercase words"),
        output=f"Print {yes} or {no}.",
        case=lambda size: (" ".join(words(rng, rng.randint(2, 4) + size // 4)),),
        edges=((needed,), (needed[1:],), (needed[:-1],), (f"{needed[0]} {needed[1:]}",)),
        answer=lambda s: no if set(needed) - set(s) else yes,
        solution=f"""
            s = input()
            if all(c in s for c in "{needed}"):
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def greet_all(rng: Random) -> Problem:
    hello = rng.choice(("Hello", "Welcome", "Goodbye", "Thanks"))
    end = rng.choice(("!", ".", ""))
    number = rng.random() < 0.4
    shown = f"{hello}, NAME{end}"
    form = f"i: {shown}" if number else shown
    more = ", where i counts the guests from 1" if number else ""
    return Problem(
        say=(
            f'Greet n guests: for each name print "{form}" with the name in place of NAME{more}.',
            f'For every one of n names print a line "{form}", where NAME is the name{more.replace("where", "and")}.',
            f'Print n lines of the form "{form}" (NAME is the name of the guest{more}).',
        ),
        input="The first line contains n. Each of the next n lines contains one name.",
        output="Print n lines.",
        case=lambda size: (names(rng, max(1, min(size - 1, 6))),),
        edges=((["Al"],), (["Al", "Al"],), (["X", "Y", "Z"],)),
        layout=counted,
        answer=lambda guests: rows(
            *[("" if not number else f"{i}: ") + shown.replace("NAME", g) for i, g in enumerate(guests, 1)]
        ),
        solution=f"""
            n = int(input())
            for i in range({"1, n + 1" if number else "n"}):
                name = input().strip()
                print(f"{"{i}: " if number else ""}{hello}, {{name}}{end}")
            """,
    )
