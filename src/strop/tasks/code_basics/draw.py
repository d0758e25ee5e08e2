"""What the families draw from: numbers, words, names, conditions, and the usual descriptions of an input."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

NAMES = ("Ana", "Ben", "Clara", "Dev", "Emma", "Felix", "Grace", "Hugo", "Ivy", "Jonas", "Kim", "Leo", "Mia", "Nina",
         "Omar", "Paula", "Rosa", "Sam", "Tom", "Vera")  # fmt: skip
WORDS = ("apple", "river", "stone", "cloud", "tiger", "bread", "music", "green", "light", "house", "ocean", "paper",
         "train", "lemon", "sugar", "night", "cat", "dog", "sun", "map", "key", "tree", "bird", "milk", "rain", "road",
         "moon", "banana", "kitchen", "window", "garden", "school", "level", "radar", "letter", "coffee", "summer",
         "ball", "a", "on", "to", "the", "we", "book")  # fmt: skip


def ints(rng: Random, count: int, low: int, high: int) -> list[int]:
    """`count` independent integers from low to high, both included."""
    return [rng.randint(low, high) for _ in range(count)]


def words(rng: Random, count: int) -> list[str]:
    """`count` short English words, with repetition."""
    return [rng.choice(WORDS) for _ in range(count)]


def long_word(rng: Random, size: int) -> str:
    """One or more short words written together."""
    return "".join(words(rng, 1 + size // 4))


def table(rng: Random, size: int, low: int = 0, high: int = 9) -> list[list[int]]:
    """Rows of equally many integers, 2 or 3 by 2 or 3 for a sample and up to 5 by 5 otherwise."""
    r, c = ints(rng, 2, 2, 3) if 3 <= size <= 5 else ints(rng, 2, 1, 5)
    return [ints(rng, c, low, high) for _ in range(r)]


def picture(rng: Random, size: int, alphabet: str) -> list[str]:
    """Rows of equally many characters, sized like `table`."""
    return [letters(rng, len(row), alphabet) for row in table(rng, size)]


def letters(rng: Random, count: int, alphabet: str = "abcde") -> str:
    """A string of `count` letters of the alphabet."""
    return "".join(rng.choice(alphabet) for _ in range(count))


def names(rng: Random, count: int) -> list[str]:
    """`count` different first names (at most 20)."""
    return rng.sample(NAMES, min(count, len(NAMES)))


def list_input(rng: Random, what: str = "integers") -> str:
    """The description of `layouts.listed`."""
    return rng.choice(
        (
            f"The first line contains n. The second line contains n {what}.",
            f"The first line contains an integer n, and the second line contains n {what} separated by spaces.",
            f"An integer n on the first line, then n {what} on the second line.",
            f"Line 1: the number n. Line 2: n {what}.",
        )
    )


def text_input(rng: Random, what: str = "string s") -> str:
    """The description of an input that is one line of text."""
    return rng.choice(
        (f"One line with the {what}.", f"A single line containing the {what}.", f"The {what} on one line.")
    )


def number_input(rng: Random, name: str = "n", minimum: int = 1) -> str:
    """The description of an input that is one integer."""
    return rng.choice(
        (
            f"A single integer {name} ({name} >= {minimum}).",
            f"One line with an integer {name} ({name} >= {minimum}).",
            f"The integer {name}, at least {minimum}.",
        )
    )


def yes_no(rng: Random) -> tuple[str, str]:
    """The two words of a decision."""
    return rng.choice((("YES", "NO"), ("Yes", "No"), ("yes", "no"), ("TRUE", "FALSE")))


@dataclass(frozen=True, slots=True)
class Condition:
    """A property of an integer: in words ("greater than 5"), as Python source over x, and as a function."""

    words: str
    code: str
    holds: Callable[[int], bool]


def condition(rng: Random) -> Condition:
    """A random condition; about half of the integers from -20 to 20 meet it, or fewer."""
    k = rng.randint(2, 9)
    return rng.choice(
        (
            Condition(f"greater than {k}", f"x > {k}", lambda x: x > k),
            Condition(f"less than {k}", f"x < {k}", lambda x: x < k),
            Condition(f"at least {k}", f"x >= {k}", lambda x: x >= k),
            Condition(f"at most {k}", f"x <= {k}", lambda x: x <= k),
            Condition("even", "x % 2 == 0", lambda x: x % 2 == 0),
            Condition("odd", "x % 2 == 1", lambda x: x % 2 == 1),
            Condition("positive", "x > 0", lambda x: x > 0),
            Condition("negative", "x < 0", lambda x: x < 0),
            Condition(f"divisible by {k + 1}", f"x % {k + 1} == 0", lambda x: x % (k + 1) == 0),
            Condition(f"between {k} and {k + 6} (inclusive)", f"{k} <= x <= {k + 6}", lambda x: k <= x <= k + 6),
        )
    )
