"""Crossed families over the words of a sentence, or one word per line."""

from collections import Counter
from random import Random

from strop.tasks.code_basics.crossing import ItemSource, Skill, Use, changed, cross, kept
from strop.tasks.code_basics.layouts import counted, show
from strop.tasks.code_basics.problem import Problem
from strop.tasks.code_basics.uses import LIST_USES, PART_USES, TEXT_USES

WORDS = ("apple", "river", "stone", "cloud", "tiger", "bread", "music", "green", "light", "house", "ocean", "paper",
         "train", "lemon", "sugar", "night", "cat", "dog", "sun", "map", "key", "tree", "bird", "milk", "rain", "road",
         "moon", "banana", "kitchen", "window", "garden", "school", "level", "radar", "letter", "coffee", "summer",
         "ball", "on", "to", "the", "we", "book")  # fmt: skip


def _common(place: slice) -> str:
    """Letters that at least four of the words have at a place."""
    found = Counter(letter for word in WORDS for letter in set(word[place]))
    return "".join(sorted(letter for letter, count in found.items() if count >= 4))


def _longer(rng: Random) -> Skill:
    k = rng.randint(3, 5)
    return Skill(f"have more than {k} letters", f"len(x) > {k}", lambda x: x[k:] != "")


def _shorter(rng: Random) -> Skill:
    k = rng.randint(4, 6)
    return Skill(f"have fewer than {k} letters", f"len(x) < {k}", lambda x: x[k - 1 :] == "")


def _exact(rng: Random) -> Skill:
    k = rng.randint(3, 6)
    return Skill(f"have exactly {k} letters", f"len(x) == {k}", lambda x: x[k - 1 :] != "" and x[k:] == "")


def _start(rng: Random) -> Skill:
    c = rng.choice(_common(slice(0, 1)))
    return Skill(f"start with {c}", f'x[0] == "{c}"', lambda x: x.startswith(c))


def _end(rng: Random) -> Skill:
    c = rng.choice(_common(slice(-1, None)))
    return Skill(f"end with {c}", f'x[-1] == "{c}"', lambda x: x.endswith(c))


def _hold(rng: Random) -> Skill:
    c = rng.choice(_common(slice(None)))
    return Skill(f"contain the letter {c}", f'"{c}" in x', lambda x: x.count(c) > 0)


PROPERTIES = {"longer": _longer, "shorter": _shorter, "exact": _exact, "start": _start, "end": _end, "hold": _hold}


def _tail(rng: Random) -> Skill:
    mark = rng.choice("!?.,")
    return Skill(f'Put "{mark}" behind every word', f'x + "{mark}"', lambda x: f"{x}{mark}")


CHANGES = {
    "capital": lambda rng: Skill(
        "Write every word in capital letters", "x.upper()", lambda x: "".join(c.upper() for c in x)
    ),
    "reversed": lambda rng: Skill("Reverse every word", "x[::-1]", lambda x: "".join(reversed(x))),
    "initial": lambda rng: Skill("Replace every word by its first letter", "x[0]", lambda x: next(iter(x))),
    "final": lambda rng: Skill("Replace every word by its last letter", "x[-1]", lambda x: next(reversed(x))),
    "twice": lambda rng: Skill("Write every word twice without a space", "x * 2", lambda x: f"{x}{x}"),
    "headless": lambda rng: Skill(
        "Remove the first letter of every word", "x[1:]", lambda x: x.removeprefix(next(iter(x)))
    ),
    "marked": _tail,
}


def _source(rng: Random) -> ItemSource:
    return rng.choice(
        (
            ItemSource("One line with a sentence.", "a = input().split()", show),
            ItemSource("One line of words separated by spaces.", "a = input().split()", show),
            ItemSource(
                "The first line contains n. Each of the next n lines contains one word.",
                "n = int(input())\na = [input() for _ in range(n)]",
                counted,
            ),
        )
    )


def _kept(rng: Random, skill: Skill, use: Use) -> Problem:
    return kept(rng, skill, use, "words", _source(rng), lambda: rng.choice(WORDS))


def _changed(rng: Random, skill: Skill, use: Use) -> Problem:
    return changed(rng, skill, use, "words", _source(rng), lambda: rng.choice(WORDS))


FAMILIES = cross("words", PROPERTIES, LIST_USES | PART_USES | TEXT_USES, _kept) | cross(
    "changed_words", CHANGES, LIST_USES | TEXT_USES, _changed
)
