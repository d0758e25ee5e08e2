"""Crossed families over the characters of one line."""

from random import Random

from strop.tasks.code_basics.crossing import ItemSource, Skill, Use, cross, kept
from strop.tasks.code_basics.problem import Problem
from strop.tasks.code_basics.uses import LIST_USES, PART_USES, TEXT_USES


def _chosen(rng: Random) -> Skill:
    c, d, e = sorted(rng.sample("abcxyz", 3))
    return Skill(f"are {c}, {d} or {e}", f'x in "{c}{d}{e}"', lambda x: x in {c, d, e})


PROPERTIES = {
    "vowel": lambda rng: Skill("are vowels (a, e, i, o, u)", 'x in "aeiou"', lambda x: x in set("aeiou")),
    "digit": lambda rng: Skill("are digits", "x.isdigit()", lambda x: x in "0123456789"),
    "capital": lambda rng: Skill("are capital letters", "x.isupper()", lambda x: "A" <= x <= "Z"),
    "small": lambda rng: Skill("are small letters", "x.islower()", lambda x: "a" <= x <= "z"),
    "chosen": _chosen,
}

USES = {
    "first": LIST_USES["first"],
    "last": LIST_USES["last"],
    "lines": LIST_USES["lines"],
    "count": PART_USES["count"],
    "any": PART_USES["any"],
    "all": PART_USES["all"],
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


def _kept(rng: Random, skill: Skill, use: Use) -> Problem:
    source = ItemSource(
        rng.choice(("One line of text without spaces.", "A string of letters and digits.")), "a = input()", "".join
    )
    return kept(rng, skill, use, "characters", source, lambda: rng.choice("aeiouabcxyzABCEXYZ0123456789"))


FAMILIES = cross("letters", PROPERTIES, USES, _kept)
