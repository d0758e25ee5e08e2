"""Properties of one or two strings: counts and decisions."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from collections import Counter
from random import Random

from strop.tasks.code_basics.draw import letters, long_word, text_input, yes_no
from strop.tasks.code_basics.family import Problem, family

VOWELS = "aeiou"


@family()
def count_letters(rng: Random) -> Problem:
    letter = rng.choice("aetr")
    what, code, holds = rng.choice(
        (
            (f"letters {letter}", f'c == "{letter}"', lambda c: c == letter),
            ("vowels (a, e, i, o, u)", 'c in "aeiou"', lambda c: c in VOWELS),
            ("letters that are not vowels (a, e, i, o, u)", 'c not in "aeiou"', lambda c: c not in VOWELS),
            (f"letters a, b or {letter}", f'c in "ab{letter}"', lambda c: c in ("a", "b", letter)),
        )
    )
    return Problem(
        say=(
            f"How many {what} are in the string s?",
            f"Count the {what} in s.",
            f"A word s is given. Find the number of {what}.",
        ),
        input=text_input(rng, "string s of lowercase letters"),
        output="Print the count.",
        case=lambda size: (long_word(rng, size),),
        edges=(("a",), ("z",), ("eeee",), ("try",), ("banana",)),
        answer=lambda s: sum(map(holds, s)),
        solution=f"""
            s = input().strip()
            print({f's.count("{letter}")' if code.startswith("c ==") else f"sum(1 for c in s if {code})"})
            """,
    )


@family()
def palindrome(rng: Random) -> Problem:
    yes, no = yes_no(rng)

    def case(size: int) -> tuple[str]:
        half = letters(rng, max(1, size // 2), "abcx")
        return (
            half + rng.choice(("", "a", "b")) + (half[::-1] if rng.random() < 0.5 else letters(rng, len(half), "abcx")),
        )

    return Problem(
        say=(
            f"Is the string s a palindrome (the same read from left to right and from right to left)? Answer {yes} or {no}.",
            "Check whether s reads the same backwards.",
            "A palindrome is equal to its own reverse. Decide if s is a palindrome.",
        ),
        input=text_input(rng),
        output=f"Print {yes} or {no}.",
        case=case,
        edges=(("a",), ("ab",), ("aa",), ("level",), ("abca",)),
        answer=lambda s: yes if all(s[i] == s[-1 - i] for i in range(len(s) // 2)) else no,
        solution=f"""
            s = input().strip()
            if s == s[::-1]:
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def letter_differences(rng: Random) -> Problem:
    what, sign = rng.choice((("different", "!="), ("equal", "==")))
    story = rng.choice(("DNA strings", "strings", "words"))

    def case(size: int) -> tuple[str, str]:
        s = letters(rng, size + 1, "ACGT" if story == "DNA strings" else "abcd")
        return s, "".join(c if rng.random() < 0.5 else rng.choice(s) for c in s)

    return Problem(
        say=(
            f"Two {story} of equal length are given. Count the positions at which their letters are {what}.",
            f"Compare s and t, which have the same length, letter by letter. At how many places are they {what}?",
            f"For two {story} s and t of the same length, count the indices i with s[i] {sign} t[i].",
        ),
        input="Two lines: the string s and the string t.",
        output="Print the count.",
        case=case,
        edges=(("A", "A"), ("A", "C"), ("abc", "abc"), ("abc", "bca")),
        answer=lambda s, t: len([i for i in range(len(s)) if (s[i] == t[i]) is (sign == "==")]),
        solution=f"""
            s = input().strip()
            t = input().strip()
            print(sum(1 for a, b in zip(s, t) if a {sign} b))
            """,
    )


@family()
def anagram(rng: Random) -> Problem:
    yes, no = yes_no(rng)

    def case(size: int) -> tuple[str, str]:
        s = long_word(rng, size)
        t = "".join(rng.sample(s, len(s)))
        return s, t if rng.random() < 0.5 else t[:-1] + rng.choice(s)

    return Problem(
        say=(
            "Can the letters of s be rearranged to form t? All letters must be used.",
            "Two words are anagrams if they consist of the same letters in a different or equal order. Are s and t anagrams?",
            "Check whether the strings s and t contain exactly the same letters, each equally often.",
        ),
        input="Two lines: the string s and the string t.",
        output=f"Print {yes} or {no}.",
        case=case,
        edges=(("a", "a"), ("a", "b"), ("ab", "ba"), ("aab", "abb"), ("ab", "abb")),
        answer=lambda s, t: yes if Counter(s) == Counter(t) else no,
        solution=f"""
            s = input().strip()
            t = input().strip()
            if sorted(s) == sorted(t):
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def common_letter(rng: Random) -> Problem:
    show_count = rng.random() < 0.5
    return Problem(
        say=(
            "Find the letter that occurs most often in s. If there are several, take the first in alphabetical order.",
            "Which letter is the most frequent in the string s? In a tie choose the alphabetically smallest.",
            "Print the most common letter of s (the smallest in the alphabet if several are equally common).",
        ),
        input=text_input(rng, "string s of lowercase letters"),
        output="Print the letter and how often it occurs, separated by a space." if show_count else "Print the letter.",
        case=lambda size: (rng.choice((long_word(rng, size), letters(rng, size + 1))),),
        edges=(("a",), ("ba",), ("zzz",), ("abcabc",)),
        answer=lambda s: (lambda c: f"{c} {s.count(c)}" if show_count else c)(
            sorted(Counter(s).items(), key=lambda item: (-item[1], item[0]))[0][0]
        ),
        solution=f"""
            s = input().strip()
            best = max(sorted(set(s)), key=s.count)
            print(best{", s.count(best)" if show_count else ""})
            """,
    )


@family()
def first_single(rng: Random) -> Problem:
    none = rng.choice(("-1", "NONE"))
    return Problem(
        say=(
            "Find the first letter of s that occurs only once in s.",
            "Which is the leftmost letter that appears exactly one time in the string s?",
            "Print the first letter of s that is not repeated anywhere else in s.",
        ),
        input=text_input(rng, "string s of lowercase letters"),
        output=f"Print the letter, or {none} if there is no such letter.",
        case=lambda size: (letters(rng, size + 1, "abcd") if rng.random() < 0.7 else long_word(rng, size),),
        edges=(("a",), ("aa",), ("aab",), ("abab",), ("banana",)),
        answer=lambda s: next((c for c, times in Counter(s).items() if times == 1), none),
        solution=f"""
            s = input().strip()
            answer = "{none}"
            for c in s:
                if s.count(c) == 1:
                    answer = c
                    break
            print(answer)
            """,
    )


@family()
def password_check(rng: Random) -> Problem:
    k = rng.randint(5, 8)
    yes, no = rng.choice((("STRONG", "WEAK"), ("OK", "BAD"), ("VALID", "INVALID")))
    need, code, holds = rng.choice(
        (
            ("an uppercase letter", "c.isupper()", str.isupper),
            ("a lowercase letter", "c.islower()", str.islower),
        )
    )
    return Problem(
        say=(
            f"A password is {yes} if it has at least {k} characters, a digit and {need}. Otherwise it is {no}. Check the password s.",
            f"Check the password s: it needs {k} or more characters, at least one digit and at least one {need.split(' ', 1)[1]}.",
            f"Print {yes} if s is at least {k} characters long and contains a digit and {need}, and {no} if not.",
        ),
        input=text_input(rng, "password s (letters and digits)"),
        output=f"Print {yes} or {no}.",
        case=lambda size: (
            letters(rng, rng.randint(k - 2, k + 3), rng.choice(("abXY12", "abcd7", "ABC12", "abcdXYZ"))),
        ),
        edges=(("aB3" + "x" * (k - 3),), ("aB3" + "x" * (k - 4),), ("a1" * k,), ("A1" * k,), ("aB" * k,)),
        answer=lambda s: yes if len(s) >= k and set(s) & set("0123456789") and [c for c in s if holds(c)] else no,
        solution=f"""
            s = input().strip()
            digit = any(c.isdigit() for c in s)
            letter = any({code} for c in s)
            if len(s) >= {k} and digit and letter:
                print("{yes}")
            else:
                print("{no}")
            """,
    )


@family()
def brackets(rng: Random) -> Problem:
    yes, no = yes_no(rng)
    left, right = rng.choice(("()", "[]", "<>", "{}"))

    def nested(size: int) -> str:
        return "" if size < 1 else left + nested(rng.randint(0, size - 1)) + right + nested(size // 2)

    def case(size: int) -> tuple[str]:
        s = nested(rng.randint(1, 2 + size // 4)) or left + right
        return (s if rng.random() < 0.5 else letters(rng, max(2, len(s) // 2 * 2), left + right),)

    return Problem(
        say=(
            f"s consists of the brackets {left} and {right}. Is it balanced, so that every {left} is closed by a later {right} and nothing else remains?",
            f"Check a string of {left} and {right}: going from left to right there may never be more {right} than {left}, and at the end they must be equally many.",
            f"Decide whether the brackets {left}{right} in s match correctly. For example, {left}{left}{right}{right} is correct and {right}{left} is not.",
        ),
        input=text_input(rng, f"string s of the characters {left} and {right}"),
        output=f"Print {yes} or {no}.",
        case=case,
        edges=((left,), (right + left,), (left + right,), (left * 3 + right * 3,), (left + right + right + left,)),
        answer=lambda s: (lambda t: no if t else yes)(_cancel(s, left + right)),
        solution=f"""
            s = input().strip()
            depth = 0
            ok = True
            for c in s:
                if c == "{left}":
                    depth += 1
                else:
                    depth -= 1
                if depth < 0:
                    ok = False
            print("{yes}" if ok and depth == 0 else "{no}")
            """,
    )


def _cancel(s: str, pair: str) -> str:
    while pair in s:
        s = s.replace(pair, "")
    return s
