"""First programs: one check of a list, a word or a sentence, with a yes or a no."""

from random import Random

from strop.tasks.code_basics.draw import WORDS, ints, text_input, words, yes_no
from strop.tasks.code_basics.family import Problem, family

AND_K = "The first line contains the integers of the list. The second line contains the integer k."
LONG = tuple(word for word in WORDS if len(word) >= 3)


def _input(rng: Random) -> str:
    return text_input(rng, "word s of lowercase letters")


@family()
def in_list(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    return Problem(
        say=(
            f"Print {yes} if the number k is in the list, otherwise {no}.",
            "Does the list contain the number k?",
            "Check whether k is one of the numbers in the list.",
        ),
        input=AND_K,
        output=f"Print {yes} or {no}.",
        case=lambda size: (ints(rng, size, 1, 8), rng.randint(1, 8)),
        edges=(([3], 3), ([3], 4), ([1, 2, 3], 3), ([12, 23], 1)),
        answer=lambda a, k: yes if any(x == k for x in a) else no,
        solution=f"""
            a = list(map(int, input().split()))
            k = int(input())
            if k in a:
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def starts_or_ends(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    verb, index, letter = rng.choice(
        (("start", 0, rng.choice("bcmrst")), ("end", -1, rng.choice("rently")))
    )  # fmt: skip
    pool = [word for word in LONG if word[index] == letter]
    return Problem(
        say=(
            f"Does the word s {verb} with the letter {letter}?",
            f"Print {yes} if s {verb}s with {letter}, otherwise {no}.",
            f"Check whether the {'first' if index == 0 else 'last'} letter of s is {letter}.",
        ),
        input=_input(rng),
        output=f"Print {yes} or {no}.",
        case=lambda size: (rng.choice(rng.choice((pool, LONG))),),
        edges=((letter,), ("a",), (f"o{letter}o",), (f"{letter}o{letter}",)),
        answer=lambda s: yes if s.find(letter, len(s) - 1 if index else 0, len(s) if index else 1) >= 0 else no,
        solution=f"""
            s = input().strip()
            if s[{index}] == "{letter}":
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def letter_in_word(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    c = rng.choice("aeionrt")
    return Problem(
        say=(
            f"Does the word s contain the letter {c}?",
            f"Print {yes} if the letter {c} is in s, and {no} if it is not.",
            f"Check whether the letter {c} occurs anywhere in the word s.",
        ),
        input=_input(rng),
        output=f"Print {yes} or {no}.",
        case=lambda size: (rng.choice(LONG),),
        edges=((c,), ("why",), (f"sk{c}",)),
        answer=lambda s: yes if s.count(c) > 0 else no,
        solution=f"""
            s = input().strip()
            if "{c}" in s:
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def longer_than(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    k = rng.randint(3, 5)
    word, sign = rng.choice((("more", ">"), ("fewer", "<")))
    return Problem(
        say=(
            f"Does the word s have {word} than {k} letters?",
            f"Print {yes} if s has {word} than {k} letters, otherwise {no}.",
            f"Check whether the length of s is {'greater' if sign == '>' else 'less'} than {k}.",
        ),
        input=_input(rng),
        output=f"Print {yes} or {no}.",
        case=lambda size: (rng.choice(WORDS),),
        edges=(("a",), ("abcdef"[:k],), ("abcdef"[: k + 1],), ("kitchen",)),
        answer=lambda s: yes if (s[k:] if sign == ">" else not s[k - 1 :]) else no,
        solution=f"""
            s = input().strip()
            if len(s) {sign} {k}:
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def word_occurs(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    return Problem(
        say=(
            f"Print {yes} if t is one of the words of the sentence, otherwise {no}.",
            "Is the word t one of the words of the sentence? It must be a whole word.",
            "Check whether the word t occurs in the sentence as a whole word.",
        ),
        input="The first line contains the sentence (words separated by spaces). The second line contains the word t.",
        output=f"Print {yes} or {no}.",
        case=lambda size: (lambda w: (" ".join(w), rng.choice(rng.choice((w, WORDS)))))(words(rng, size)),
        edges=(("a", "a"), ("banana", "a"), ("the cat", "cat"), ("the cats", "cat")),
        answer=lambda s, t: yes if f" {t} " in f" {s} " else no,
        solution=f"""
            w = input().split()
            t = input().strip()
            if t in w:
                print("{yes}")
            else:
                print("{no}")
            """,
    )
