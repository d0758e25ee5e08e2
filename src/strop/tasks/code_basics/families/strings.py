"""One string that is changed or encoded."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from itertools import pairwise
from random import Random

from strop.tasks.code_basics.draw import letters, long_word, text_input, words
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import rows

VOWELS = "aeiou"


@family()
def change_case(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("Change all letters to uppercase", "s.upper()", lambda s: "".join(chr(ord(c) & ~32) if c != " " else c for c in s)),
            ("Change all letters to lowercase", "s.lower()", lambda s: "".join(chr(ord(c) | 32) for c in s)),
            ("Change lowercase letters to uppercase and uppercase letters to lowercase", "s.swapcase()",
             lambda s: "".join(c if c == " " else chr(ord(c) ^ 32) for c in s)),
            ("Make the first letter of each word uppercase and all other letters lowercase", "s.title()",
             lambda s: " ".join(w[:1].upper() + w[1:].lower() for w in s.split(" "))),
        )
    )  # fmt: skip
    return Problem(
        say=(f"{what} in s.", f"You are given a line of words. {what}.", f"{what} and print the new text."),
        input=text_input(rng, "text s (words of letters, separated by single spaces)"),
        output="Print the changed text.",
        case=lambda size: (
            " ".join(rng.choice((w, w.title(), w.upper(), w[:-1] + w[-1].upper())) for w in words(rng, 1 + size // 3)),
        ),
        edges=(("a",), ("Z",), ("HELLO",), ("hello World",)),
        answer=value,
        solution=f"""
            s = input()
            print({code})
            """,
    )


@family("medium")
def caesar(rng: Random) -> Problem:
    k = rng.randint(1, 6)
    back = rng.random() < 0.3
    way, sign, end = ("back", "-", "before a comes z") if back else ("forward", "+", "after z comes a")
    abc = "abcdefghijklmnopqrstuvwxyz"
    return Problem(
        say=(
            f"Shift each letter of s by {k} places {way} in the alphabet ({end}).",
            f"Encode the word s: replace every letter by the letter {k} places {'earlier' if back else 'later'} in the alphabet, where {end}.",
            f"Move all letters of s {k} steps {way} in the alphabet. The alphabet is a circle: {end}.",
        ),
        input=text_input(rng, "string s of lowercase letters"),
        output="Print the new string.",
        case=lambda size: (long_word(rng, size) + letters(rng, size // 4, "xyz"),),
        edges=(("a",), ("z",), ("xyz",), ("abc",)),
        answer=lambda s: s.translate(str.maketrans(abc, abc[-k:] + abc[:-k] if back else abc[k:] + abc[:k])),
        solution=f"""
            s = input().strip()
            t = ""
            for c in s:
                t += chr((ord(c) - 97 {sign} {k}) % 26 + 97)
            print(t)
            """,
    )


@family("medium")
def run_lengths(rng: Random) -> Problem:
    first = rng.choice(("letter", "count"))
    form, example = (
        ("the letter and then the length", "a3b1") if first == "letter" else ("the length and then the letter", "3a1b")
    )

    def answer(s: str) -> str:
        if not s:
            return ""
        length = len(s) - len(s.lstrip(s[0]))
        return (f"{s[0]}{length}" if first == "letter" else f"{length}{s[0]}") + answer(s[length:])

    return Problem(
        say=(
            f"Replace each run of equal letters in s by {form}. For example, aaab becomes {example}.",
            f"Compress s: write {form} for every block of equal neighbouring letters, so aaab gives {example}.",
            f"Encode the string s by its runs; for each run print {form} (aaab -> {example}).",
        ),
        input=text_input(rng, "non-empty string s of lowercase letters"),
        output="Print the encoded string.",
        case=lambda size: ("".join(c * rng.randint(1, 3) for c in letters(rng, 1 + size // 2, "abc")),),
        edges=(("a",), ("zzzz",), ("abc",), ("aabaa",)),
        answer=answer,
        solution=f"""
            s = input().strip()
            i = 0
            t = ""
            while i < len(s):
                j = i
                while j < len(s) and s[j] == s[i]:
                    j += 1
                t += {"s[i] + str(j - i)" if first == "letter" else "str(j - i) + s[i]"}
                i = j
            print(t)
            """,
    )


@family()
def squeeze(rng: Random) -> Problem:
    return Problem(
        say=(
            "If the same letter stands several times in a row, keep only one of them. For example, aabbba becomes aba.",
            "Remove every letter that is equal to the letter directly before it (aabbba -> aba).",
            "A keyboard sometimes repeats letters. Replace each block of equal neighbouring letters by a single letter, so aabbba gives aba.",
        ),
        input=text_input(rng, "non-empty string s of lowercase letters"),
        output="Print the shortened string.",
        case=lambda size: (
            "".join(c * rng.randint(1, 3) for c in letters(rng, 2 + size // 2, rng.choice(("abc", "xyz", "lmo")))),
        ),
        edges=(("a",), ("zzzz",), ("abc",), ("abab",)),
        answer=lambda s: s[:1] + "".join(y for x, y in pairwise(s) if x != y),
        solution="""
            s = input().strip()
            t = ""
            for c in s:
                if t == "" or t[-1] != c:
                    t += c
            print(t)
            """,
    )


@family()
def remove_letters(rng: Random) -> Problem:
    letter = rng.choice("aeontr")
    what, code, holds = rng.choice(
        (
            (f"the letter {letter}", f'c != "{letter}"', lambda c: c != letter),
            ("the vowels (a, e, i, o, u)", 'c not in "aeiou"', lambda c: c not in VOWELS),
            ("the digits", "not c.isdigit()", lambda c: c not in "0123456789"),
        )
    )
    digits = "digits" in what
    extra = "0123456789" if digits else ""
    return Problem(
        say=(
            f"Remove {what} from the string s.",
            f"Print s without {what}.",
            f"Delete {what} from s and keep everything else.",
        ),
        input=text_input(rng, "string s of lowercase letters" + (" and digits" if digits else "")),
        output="Print what remains, or EMPTY if nothing is left.",
        case=lambda size: (
            "".join(
                c + (letters(rng, 1, extra) if digits and rng.random() < 0.4 else "") for c in long_word(rng, size)
            ),
        ),
        edges=((f"{letter}",), ("12",) if digits else ("aeiou",), ("why",), (f"x{letter}{letter}x",)),
        answer=lambda s: "".join(filter(holds, s)) or "EMPTY",
        solution=f"""
            s = input().strip()
            t = "".join(c for c in s if {code})
            print(t if t else "EMPTY")
            """,
    )


@family()
def digits_in_text(rng: Random) -> Problem:
    what, code, value = rng.choice(
        (
            ("sum of all digits", "sum(int(c) for c in s if c.isdigit())", sum),
            ("number of digits", "sum(1 for c in s if c.isdigit())", len),
            ("largest digit", "max(int(c) for c in s if c.isdigit())", lambda d: sorted(d)[-1]),
        )
    )
    return Problem(
        say=(
            f"The string s contains letters and digits. Find the {what}.",
            f"Print the {what} in the string s.",
            f"A code s is made of letters and at least one digit. What is the {what} in it?",
        ),
        input=text_input(rng, "string s of letters and digits"),
        output="Print one integer.",
        case=lambda size: (
            letters(rng, size, "abxy0123456789") + str(rng.randint(0, 9)) + letters(rng, size // 3, "kz"),
        ),
        edges=(("0",), ("a1",), ("999",), ("5a5b5",)),
        answer=lambda s: value(["0123456789".index(c) for c in s if c in "0123456789"]),
        solution=f"""
            s = input().strip()
            print({code})
            """,
    )


@family()
def star_shape(rng: Random) -> Problem:
    char = rng.choice("*#@+xo")
    shape, code, value = rng.choice(
        (
            (f"n lines: the first has one {char}, the second two, and so on", f'print("{char}" * i)', lambda i, n: char * i),
            (f"n lines: the first has n characters {char}, the next one less, and so on, down to one", f'print("{char}" * (n - i + 1))', lambda i, n: char * (n + 1 - i)),
            (f"a square of n lines with n characters {char} each", f'print("{char}" * n)', lambda i, n: char * n),
            (f"n lines, where line i has i - 1 dots and then one {char}", f'print("." * (i - 1) + "{char}")', lambda i, n: "." * (i - 1) + char),
        )
    )  # fmt: skip
    return Problem(
        say=(f"Draw {shape}.", f"For a given n, print {shape}.", f"Print a pattern of {shape}."),
        input=rng.choice(("A single integer n (n >= 1).", "One line with an integer n (n >= 1).")),
        output="Print the n lines.",
        case=lambda size: (rng.randint(2, size if size <= 5 and size > 2 else 14),),
        edges=((1,), (2,), (5,), (10,), (7,)),
        answer=lambda n: rows(*[value(i, n) for i in range(1, n + 1)]),
        solution=f"""
            n = int(input())
            for i in range(1, n + 1):
                {code}
            """,
    )
