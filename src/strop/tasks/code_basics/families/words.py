"""Lines made of words: counting and ordering them."""

from random import Random

from strop.tasks.code_basics.draw import text_input, words
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import counted

LINE = "words separated by single spaces"


@family()
def count_words(rng: Random) -> Problem:
    k = rng.randint(3, 5)
    what, code, holds = rng.choice(
        (
            ("words", "len(w)", lambda w: True),
            (f"words with more than {k} letters", f"sum(1 for x in w if len(x) > {k})", lambda w: len(w) > k),
            (f"words with exactly {k} letters", f"sum(1 for x in w if len(x) == {k})", lambda w: len(w) == k),
            (
                "words that start with a vowel (a, e, i, o, u)",
                'sum(1 for x in w if x[0] in "aeiou")',
                lambda w: w[0] in "aeiou",
            ),
            ("different words", "len(set(w))", None),
        )
    )
    return Problem(
        say=(
            f"How many {what} are in the line?",
            f"Count the {what} in a sentence.",
            f"A sentence in lowercase letters is given. Find the number of {what}.",
        ),
        input=text_input(rng, f"sentence ({LINE})"),
        output="Print the count.",
        case=lambda size: (" ".join(words(rng, size)),),
        edges=(("a",), ("kitchen",), ("the cat on the map",), ("to on we a the",)),
        answer=lambda s: len({*s.split(" ")}) if holds is None else len([w for w in s.split(" ") if holds(w)]),
        solution=f"""
            w = input().split()
            print({code})
            """,
    )


@family()
def longest_word(rng: Random) -> Problem:
    what, code = rng.choice((("longest", "max"), ("shortest", "min")))
    return Problem(
        say=(
            f"Find the {what} word in the line. If there are several, print the first of them.",
            f"Which word of the sentence is the {what}? In case of a tie take the one that comes first.",
            f"Print the {what} word (the leftmost one if several have the same length).",
        ),
        input=text_input(rng, f"sentence ({LINE})"),
        output="Print the word.",
        case=lambda size: (" ".join(words(rng, size)),),
        edges=(("a",), ("cat dog sun",), ("river a on stone",)),
        answer=lambda s: next(
            w for w in s.split(" ") if len(w) == sorted(map(len, s.split(" ")), reverse=code == "max")[0]
        ),
        solution=f"""
            w = input().split()
            print({code}(w, key=len))
            """,
    )


@family()
def reorder_words(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("in reverse order", "w[::-1]", lambda w: [w[-1 - i] for i in range(len(w))]),
            ("in alphabetical order", "sorted(w)", lambda w: sorted(w)),
            ("with each word spelled backwards", "[x[::-1] for x in w]", lambda w: ["".join(reversed(x)) for x in w]),
            ("ordered by length, where words of equal length keep their order", "sorted(w, key=len)",
             lambda w: [x for k in range(99) for x in w if len(x) == k]),
        )
    )  # fmt: skip
    sep, name = rng.choice(((" ", "spaces"), (" ", "spaces"), ("-", "hyphens"), (",", "commas")))
    return Problem(
        say=(
            f"Print the words of the line {what}.",
            f"Read a sentence and output its words {what}.",
            f"Write the sentence again {what}.",
        ),
        input=text_input(rng, f"sentence ({LINE})"),
        output=f"Print the words on one line separated by {name}.",
        case=lambda size: (" ".join(words(rng, size)),),
        edges=(("a",), ("the cat",), ("on to we",)),
        answer=lambda s: sep.join(value(s.split(" "))),
        solution=f"""
            w = input().split()
            print({f"*{code}" if sep == " " and not code.startswith("[") else f'"{sep}".join({code})'})
            """,
    )


@family()
def word_lengths(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("length", "len(x)", len),
            ("number of letters a", 'x.count("a")', lambda w: sum(c == "a" for c in w)),
            (
                "number of vowels (a, e, i, o, u)",
                'sum(1 for c in x if c in "aeiou")',
                lambda w: len([*filter("aeiou".count, w)]),
            ),
        )
    )
    return Problem(
        say=(
            f"For each word of the line print its {what}.",
            f"Print the {what} of every word in the sentence.",
            f"Replace each word by its {what}.",
        ),
        input=text_input(rng, f"sentence ({LINE})"),
        output="Print the results on one line, separated by spaces.",
        case=lambda size: (" ".join(words(rng, size)),),
        edges=(("a",), ("banana",), ("the cat",)),
        answer=lambda s: list(map(value, s.split(" "))),
        solution=f"""
            w = input().split()
            print(*[{code} for x in w])
            """,
    )


@family()
def acronym(rng: Random) -> Problem:
    upper = rng.random() < 0.6
    dots = rng.random() < 0.3
    end = (" in uppercase" if upper else "") + (", each followed by a dot" if dots else "")
    return Problem(
        say=(
            f"Build the abbreviation of a name: the first letters of all its words{end}.",
            f"Take the first letter of each word and write the letters together{end}.",
            f"Shorten the line to its initials{end}, written without spaces.",
        ),
        input=text_input(rng, f"name ({LINE}, lowercase letters)"),
        output="Print the abbreviation.",
        case=lambda size: (" ".join(words(rng, size)),),
        edges=(("a",), ("green house",), ("on to the moon",)),
        answer=lambda s: "".join(
            (c.upper() if upper else c) + "." * dots for before, c in zip(" " + s, s, strict=False) if before == " "
        ),
        solution=f"""
            w = input().split()
            print("".join({"x[0].upper()" if upper else "x[0]"}{' + "."' if dots else ""} for x in w))
            """,
    )


@family()
def lines_containing(rng: Random) -> Problem:
    k = rng.choice(("an", "er", "oo", "t", "in", "ee"))
    what, code, holds = rng.choice(
        (
            (f'contain "{k}"', f'"{k}" in s', lambda s: s.find(k) >= 0),
            (f'start with "{k[0]}"', f's.startswith("{k[0]}")', lambda s: s[:1] == k[0]),
            (f'end with "{k[-1]}"', f's.endswith("{k[-1]}")', lambda s: s[-1:] == k[-1]),
        )
    )
    pool = (
        "banana",
        "kitchen",
        "letter",
        "moon",
        "tree",
        "tiger",
        "train",
        "rain",
        "ant",
        "inn",
        "even",
        "order",
        "gate",
        "on",
        "too",
    )
    return Problem(
        say=(
            f"n words are given. How many of them {what}?",
            f"Count the words that {what}.",
            f"Among n words, find the number of those that {what}.",
        ),
        input="The first line contains n. Each of the next n lines contains one word.",
        output="Print the count.",
        case=lambda size: ([rng.choice(pool) for _ in range(size)],),
        edges=((["a"],), ([k],), (["moon", "moon"],), (["too", "inn", "tree", "rain"],)),
        layout=counted,
        answer=lambda lines: len([s for s in lines if holds(s)]),
        solution=f"""
            n = int(input())
            count = 0
            for _ in range(n):
                s = input().strip()
                if {code}:
                    count += 1
            print(count)
            """,
    )
