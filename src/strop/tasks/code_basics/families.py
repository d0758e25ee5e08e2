"""The crossed families: the skills for each kind of item, where the items come from, and what is done with them."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from strop.tasks.code_basics.crossing import Items, ItemSource, Skill, Use, changed, cross, kept
from strop.tasks.code_basics.problem import Problem, counted, listed, one_line, show
from strop.tasks.code_basics.uses import LIST_USES, NUMBER_USES, PART_USES, TEXT_USES


def _from(low: int, high: int) -> Callable[[Random], int]:
    return lambda rng: rng.randint(low, high)


def _one_of(things: Sequence[Any]) -> Callable[[Random], Any]:
    return lambda rng: rng.choice(things)


def _bounds(rng: Random) -> tuple[int, int]:
    low = rng.randint(1, 9)
    return low, low + rng.randint(8, 15)


# -- a list of integers: those with a property, and all of them changed

NUMBERS = {
    "even": Skill("are even", "x % 2 == 0", lambda x: str(x)[-1] in "02468"),
    "odd": Skill("are odd", "x % 2 == 1", lambda x: str(x)[-1] in "13579"),
    "positive": Skill("are positive", "x > 0", lambda x: not x <= 0),
    "negative": Skill("are negative", "x < 0", lambda x: not x >= 0),
    "above": Skill("are greater than {k}", "x > {k}", lambda x, k: not x <= k, _from(2, 15)),
    "below": Skill("are less than {k}", "x < {k}", lambda x, k: not x >= k, _from(2, 15)),
    "between": Skill(
        "are from {k[0]} to {k[1]}", "{k[0]} <= x <= {k[1]}", lambda x, k: x in range(k[0], k[1] + 1), _bounds
    ),
    "multiple": Skill("are divisible by {k}", "x % {k} == 0", lambda x, k: x // k * k == x, _from(3, 6)),
    "not_multiple": Skill("are not divisible by {k}", "x % {k} != 0", lambda x, k: x // k * k < x, _from(3, 6)),
    "different": Skill("are different from {k}", "x != {k}", lambda x, k: x < k or x > k, _from(0, 3)),
}
NUMBER_CHANGES = {
    "times": Skill("Multiply every number by {k}", "x * {k}", lambda x, k: sum([x] * k), _from(2, 9)),
    "plus": Skill("Add {k} to every number", "x + {k}", lambda x, k: sum((k, x)), _from(2, 20)),
    "minus": Skill("Subtract {k} from every number", "x - {k}", lambda x, k: -(k - x), _from(2, 20)),
    "remainder": Skill(
        "Replace every number by its remainder when divided by {k}", "x % {k}", lambda x, k: x - x // k * k, _from(3, 9)
    ),
    "squared": Skill("Square every number", "x * x", lambda x: x**2),
    "absolute": Skill("Replace every number by its absolute value", "abs(x)", lambda x: max(x, -x)),
    "negated": Skill("Change the sign of every number", "-x", lambda x: 0 - x),
    "halved": Skill("Divide every number by 2, rounding down", "x // 2", lambda x: (x - x % 2) // 2),
}
LISTED = (
    "The first line contains n. The second line contains n integers.",
    "The first line contains an integer n, and the second line contains n integers separated by spaces.",
    "An integer n on the first line, then n integers on the second line.",
    "Line 1: the number n. Line 2: n integers.",
)
READ_LINE = "a = list(map(int, input().split()))"


def _number_source(rng: Random) -> ItemSource:
    return rng.choice(
        (
            ItemSource("One line of integers.", READ_LINE, show),
            ItemSource("One line with integers separated by spaces.", READ_LINE, show),
            ItemSource(rng.choice(LISTED), f"n = int(input())\n{READ_LINE}", listed),
            ItemSource(
                "The first line contains n. Each of the next n lines contains one integer.",
                "n = int(input())\na = [int(input()) for _ in range(n)]",
                counted,
            ),
        )
    )


# -- the integers of a range

RANGE_NUMBERS = {name: NUMBERS[name] for name in ("even", "odd", "multiple", "not_multiple")} | {
    "ending": Skill("end in the digit {k}", "x % 10 == {k}", lambda x, k: str(x)[-1] == str(k), _from(0, 9)),
    "holding": Skill("contain the digit {k}", '"{k}" in str(x)', lambda x, k: k in map(int, str(x)), _from(1, 9)),
}
RANGE_USES = {name: LIST_USES[name] for name in ("line", "lines", "backwards")} | {
    "count": PART_USES["count"],
    "sum": NUMBER_USES["sum"],
    "largest": NUMBER_USES["largest"],
}


def _kept_of_range(rng: Random, skill: Skill, use: Use) -> Problem:
    start = rng.choice((0, 1, None))
    if start is None:
        first, last, read = "l", "r", "l, r = map(int, input().split())"
    else:
        first, last, read = str(start), "n", "n = int(input())"
    noun = f"numbers from {first} to {last}"

    def answer(low: int, high: int) -> str:
        numbers = [*range(low, high + 1)]
        return use.value([x for x in numbers if skill.value(x)], numbers)

    def case(size: int) -> tuple[int, ...]:
        while True:
            low = start if start is not None else rng.randint(1, 30)
            high = low + rng.randint(1, 9 + 3 * size)
            if any(map(skill.value, range(low, high + 1))):
                return (low, high) if start is None else (high,)

    return Problem(
        say=use.statements(f"the {noun} that {skill.words}", noun, skill.words),
        input="Two integers l and r on one line (l < r)." if start is None else "One integer n.",
        output=use.output,
        case=case,
        layout=one_line,
        answer=answer if start is None else lambda n: answer(start, n),
        solution=f"{read}\na = range({first}, {last} + 1)\nb = [x for x in a if {skill.code}]\n{use.code}",
    )


# -- the words of a sentence, or one word per line

WORD_LIST = ("apple", "river", "stone", "cloud", "tiger", "bread", "music", "green", "light", "house", "ocean", "paper",
             "train", "lemon", "sugar", "night", "cat", "dog", "sun", "map", "key", "tree", "bird", "milk", "rain",
             "road", "moon", "banana", "kitchen", "window", "garden", "school", "level", "radar", "letter", "coffee",
             "summer", "ball", "on", "to", "the", "we", "book")  # fmt: skip


def _letter_at(place: slice) -> Callable[[Random], str]:
    """One of the letters that at least four of the words have at a place."""
    found = Counter(letter for word in WORD_LIST for letter in set(word[place]))
    return _one_of("".join(sorted(letter for letter, count in found.items() if count >= 4)))


WORDS = {
    "longer": Skill("have more than {k} letters", "len(x) > {k}", lambda x, k: x[k:] != "", _from(3, 5)),
    "shorter": Skill("have fewer than {k} letters", "len(x) < {k}", lambda x, k: x[k - 1 :] == "", _from(4, 6)),
    "exact": Skill(
        "have exactly {k} letters", "len(x) == {k}", lambda x, k: x[k - 1 :] != "" and x[k:] == "", _from(3, 6)
    ),
    "start": Skill("start with {k}", 'x[0] == "{k}"', lambda x, k: x.startswith(k), _letter_at(slice(0, 1))),
    "end": Skill("end with {k}", 'x[-1] == "{k}"', lambda x, k: x.endswith(k), _letter_at(slice(-1, None))),
    "hold": Skill("contain the letter {k}", '"{k}" in x', lambda x, k: x.count(k) > 0, _letter_at(slice(None))),
}
WORD_CHANGES = {
    "capital": Skill("Write every word in capital letters", "x.upper()", lambda x: "".join(c.upper() for c in x)),
    "reversed": Skill("Reverse every word", "x[::-1]", lambda x: "".join(reversed(x))),
    "initial": Skill("Replace every word by its first letter", "x[0]", lambda x: next(iter(x))),
    "final": Skill("Replace every word by its last letter", "x[-1]", lambda x: next(reversed(x))),
    "twice": Skill("Write every word twice without a space", "x * 2", lambda x: f"{x}{x}"),
    "headless": Skill("Remove the first letter of every word", "x[1:]", lambda x: x.removeprefix(next(iter(x)))),
    "marked": Skill('Put "{k}" behind every word', 'x + "{k}"', lambda x, k: f"{x}{k}", _one_of("!?.,")),
}
WORD_SOURCES = (
    ItemSource("One line with a sentence.", "a = input().split()", show),
    ItemSource("One line of words separated by spaces.", "a = input().split()", show),
    ItemSource(
        "The first line contains n. Each of the next n lines contains one word.",
        "n = int(input())\na = [input() for _ in range(n)]",
        counted,
    ),
)


# -- the characters of one line

LETTERS = {
    "vowel": Skill("are vowels (a, e, i, o, u)", 'x in "aeiou"', lambda x: x in set("aeiou")),
    "digit": Skill("are digits", "x.isdigit()", lambda x: x in "0123456789"),
    "capital": Skill("are capital letters", "x.isupper()", lambda x: "A" <= x <= "Z"),
    "small": Skill("are small letters", "x.islower()", lambda x: "a" <= x <= "z"),
    "chosen": Skill(
        "are {k[0]}, {k[1]} or {k[2]}",
        'x in "{k[0]}{k[1]}{k[2]}"',
        lambda x, k: x in k,
        lambda rng: sorted(rng.sample("abcxyz", 3)),
    ),
}
LETTER_USES = {
    **{name: LIST_USES[name] for name in ("first", "last", "lines")},
    **{name: PART_USES[name] for name in ("count", "any", "all")},
    "together": TEXT_USES["together"],
    "drop": Use(
        say=(
            "Remove {items} and print the rest of the text.",
            "Print the text without {items}.",
            "Delete {items} from the text and print what is left.",
        ),
        output="Print one line.",
        code='print("".join(x for x in a if x not in b))',
        value=lambda b, a: "".join(a).translate({ord(x): None for x in b}),
        needs_one=False,
    ),
    "stars": Use(
        say=(
            "Replace {items} by * and print the text.",
            'Print the text with "*" in place of {items}.',
            "Hide {items}: print the text with a star for each of them.",
        ),
        output="Print one line.",
        code='print("".join("*" if x in b else x for x in a))',
        value=lambda b, a: "".join(a).translate({ord(x): "*" for x in b}),
        needs_one=False,
    ),
}
LETTER_SOURCES = tuple(
    ItemSource(words, "a = input()", "".join)
    for words in ("One line of text without spaces.", "A string of letters and digits.")
)


NUMBER_ITEMS = Items(("numbers", "integers"), _number_source, _from(-12, 30))
WORD_ITEMS = Items(("words",), _one_of(WORD_SOURCES), _one_of(WORD_LIST))
LETTER_ITEMS = Items(("characters",), _one_of(LETTER_SOURCES), _one_of("aeiouabcxyzABCEXYZ0123456789"))

CROSSED = (
    cross("letters", LETTERS, LETTER_USES, partial(kept, LETTER_ITEMS))
    | cross("numbers", NUMBERS, LIST_USES | PART_USES | NUMBER_USES, partial(kept, NUMBER_ITEMS))
    | cross("changed_numbers", NUMBER_CHANGES, LIST_USES | NUMBER_USES, partial(changed, NUMBER_ITEMS))
    | cross("range_numbers", RANGE_NUMBERS, RANGE_USES, _kept_of_range)
    | cross("words", WORDS, LIST_USES | PART_USES | TEXT_USES, partial(kept, WORD_ITEMS))
    | cross("changed_words", WORD_CHANGES, LIST_USES | TEXT_USES, partial(changed, WORD_ITEMS))
)
"""Every crossed family by its name."""
