"""First programs: one sentence, or two words or names, and one short step."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import NAMES, ints, names, text_input, words
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import one_line, rows

LINE = "words separated by single spaces"
NEW_LINE = "Print the new sentence on one line."
LAST_NAMES = ("Smith", "Brown", "Fischer", "Lopez", "Novak", "Rossi", "Tanaka", "Weber", "King", "Ahmed", "Costa", "Young")  # fmt: skip


def _input(rng: Random, least: int = 1) -> str:
    return text_input(rng, f"sentence ({f'at least {least} ' if least > 1 else ''}{LINE})")


def _full_name(rng: Random) -> str:
    return f"{rng.choice(NAMES)} {rng.choice(LAST_NAMES)}"


@family()
def word_at_place(rng: Random) -> Problem:
    which, index = rng.choice((("first", 0), ("second", 1), ("third", 2), ("last", -1)))
    return Problem(
        say=(
            f"Print the {which} word of the sentence.",
            f"Read a sentence and print only its {which} word.",
            f"What is the {which} word in the line?",
        ),
        input=_input(rng, 3),
        output="Print one word.",
        case=lambda size: (" ".join(words(rng, size + 2)),),
        edges=(("a cat on",), ("sun sun sun",), ("the dog on the moon",)),
        answer=lambda s: s.rpartition(" ")[2] if index < 0 else s.split(" ", index + 1)[index],
        solution=f"""
            w = input().split()
            print(w[{index}])
            """,
    )


@family()
def greet_name(rng: Random) -> Problem:
    hello = rng.choice(("Hello", "Hi", "Welcome", "Goodbye", "Thank you", "Good morning", "Happy birthday"))
    end = rng.choice(("!", "."))
    return Problem(
        say=(
            f'Read a name and print "{hello}, NAME{end}" with the name in place of NAME.',
            f'Print the line "{hello}, NAME{end}", where NAME is the given name.',
            f'Greet one person: for the name Zoe print "{hello}, Zoe{end}".',
        ),
        input=text_input(rng, "name"),
        output="Print one line, without quotes.",
        case=lambda size: (rng.choice(NAMES),),
        edges=(("Al",), ("Zoe",), ("Maria",)),
        answer=lambda name: f"{hello}, NAME{end}".replace("NAME", name),
        solution=f"""
            name = input().strip()
            print(f"{hello}, {{name}}{end}")
            """,
    )


@family()
def two_initials(rng: Random) -> Problem:
    form, code = rng.choice(
        (("AS", "a[0] + b[0]"), ("A.S.", 'a[0] + "." + b[0] + "."'), ("A S", "a[0], b[0]"), ("A-S", 'a[0] + "-" + b[0]'))
    )  # fmt: skip
    return Problem(
        say=(
            f"Print the first letter of the first name and the first letter of the last name. For Ada Stone print {form}.",
            f"Find the two initials of a person and print them like {form} for Ada Stone.",
            f"A first name and a last name are given. Shorten both to their first letters, so that Ada Stone becomes {form}.",
        ),
        input="One line with a first name and a last name.",
        output="Print the initials.",
        case=lambda size: (_full_name(rng),),
        edges=(("Ada Stone",), ("Bo Li",), ("Zoe Zimmer",)),
        answer=lambda s: form.translate({65: s[0], 83: s[s.index(" ") + 1]}),
        solution=f"""
            a, b = input().split()
            print({code})
            """,
    )


@family()
def upper_word(rng: Random) -> Problem:
    which, index = rng.choice((("first", 0), ("second", 1), ("last", -1)))
    return Problem(
        say=(
            f"Write the {which} word of the sentence in capital letters.",
            f"Change the {which} word to uppercase and leave the other words as they are.",
            f"Print the sentence with its {which} word in uppercase letters.",
        ),
        input=_input(rng, 2),
        output=NEW_LINE,
        case=lambda size: (" ".join(words(rng, size + 1)),),
        edges=(("a cat",), ("sun sun",), ("the dog on the moon",)),
        answer=lambda s: [w.upper() if i == index % len(s.split()) else w for i, w in enumerate(s.split())],
        solution=f"""
            w = input().split()
            w[{index}] = w[{index}].upper()
            print(*w)
            """,
    )


@family()
def swap_words(rng: Random) -> Problem:
    one, two, i, j = rng.choice((("first", "last", 0, -1), ("first", "second", 0, 1), ("second", "last", 1, -1)))
    return Problem(
        say=(
            f"Swap the {one} and the {two} word of the sentence.",
            f"Print the sentence after its {one} word and its {two} word have changed places.",
            f"Exchange the {one} word and the {two} word. All other words stay.",
        ),
        input=_input(rng, 3),
        output=NEW_LINE,
        case=lambda size: (" ".join(words(rng, size + 2)),),
        edges=(("a cat on",), ("sun sun moon",), ("the dog on my road",)),
        answer=lambda s: (lambda w: [w[{i: j, j: i}.get(k if k < len(w) - 1 else -1, k)] for k in range(len(w))])(
            s.split(" ")
        ),
        solution=f"""
            w = input().split()
            w[{i}], w[{j}] = w[{j}], w[{i}]
            print(*w)
            """,
    )


@family()
def longer_word(rng: Random) -> Problem:
    word, sign, most = rng.choice((("longer", ">=", True), ("shorter", "<=", False)))
    return Problem(
        say=(
            f"Print the {word} one of the two words s and t. If they have the same length, print s.",
            f"Which word is {word}, s or t? Print s if both are equally long.",
            f"Compare the lengths of s and t and print the {word} word (s if the lengths are equal).",
        ),
        input="One line with the two words s and t.",
        output="Print one word.",
        case=lambda size: tuple(words(rng, 2)),
        edges=(("sun", "cat"), ("a", "on"), ("river", "map")),
        layout=one_line,
        answer=lambda s, t: sorted((s, t), key=len, reverse=most)[0],
        solution=f"""
            s, t = input().split()
            if len(s) {sign} len(t):
                print(s)
            else:
                print(t)
            """,
    )


@family()
def words_with_separator(rng: Random) -> Problem:
    sep = rng.choice((" and ", " or ", ", ", "+", "_", "/", " - "))
    return Problem(
        say=(
            f'Join the words of the line with "{sep}" between them.',
            f'Print the words of the line in the given order with "{sep}" instead of each space.',
            f'Write "{sep}" between every two neighbouring words of the line.',
        ),
        input=text_input(rng, f"list of words ({LINE})"),
        output=f"Print one line, for example: tea{sep}milk{sep}jam",
        case=lambda size: (" ".join(words(rng, size)),),
        edges=(("a",), ("sun moon",), ("cat cat cat",)),
        answer=lambda s: s.replace(" ", sep),
        solution=f"""
            w = input().split()
            print("{sep}".join(w))
            """,
    )


@family()
def word_per_line(rng: Random) -> Problem:
    mark = rng.choice(("", "", "- ", "* ", "> "))
    more = f', after the mark "{mark[0]}" and a space' if mark else ""
    return Problem(
        say=(
            f"Print every word of the sentence on its own line{more}.",
            f"Write each word on a separate line{more}.",
            f"Turn the sentence into a list with one word per line{more}.",
        ),
        input=_input(rng),
        output="Print one line per word.",
        case=lambda size: (" ".join(words(rng, size)),),
        edges=(("a",), ("sun sun",), ("the cat on the map",)),
        answer=lambda s: rows(*[mark + x for x in s.split(" ")]),
        solution=f"""
            w = input().split()
            for x in w:
                print({f'"{mark[0]}", ' if mark else ""}x)
            """,
    )


@family()
def last_name_first(rng: Random) -> Problem:
    form, code = rng.choice(
        (
            ("Stone, Ada", 'b + ", " + a'),
            ("Stone Ada", "b, a"),
            ("Stone (Ada)", 'b + " (" + a + ")"'),
            ("Stone-Ada", 'b + "-" + a'),
        )
    )
    return Problem(
        say=(
            f"Print the last name before the first name, so that Ada Stone becomes {form}.",
            f"A first name and a last name are given. Write the last name first, like this: Ada Stone -> {form}.",
            f"Turn a name around. For example, for Ada Stone print {form}.",
        ),
        input="One line with a first name and a last name.",
        output="Print one line.",
        case=lambda size: (_full_name(rng),),
        edges=(("Ada Stone",), ("Bo Li",), ("Zoe Zimmer",)),
        answer=lambda s: form.replace("Ada", "{0}").replace("Stone", "{1}").format(*s.split(" ")),
        solution=f"""
            a, b = input().split()
            print({code})
            """,
    )


@family()
def count_one_word(rng: Random) -> Problem:
    t = rng.choice(("the", "a", "cat", "on", "sun", "dog", "we", "to"))
    return Problem(
        say=(
            f'How many times does the word "{t}" occur in the sentence?',
            f'Count the words of the sentence that are equal to "{t}".',
            f'Print how often the whole word "{t}" is in the line.',
        ),
        input=_input(rng),
        output="Print the count.",
        case=lambda size: (" ".join(rng.choice((w, w, t)) for w in words(rng, size)),),
        edges=((t,), ("river",), (f"{t} {t} {t}",), (f"{t}s {t}",)),
        answer=lambda s: sum(w == t for w in s.split(" ")),
        solution=f"""
            w = input().split()
            print(w.count("{t}"))
            """,
    )


@family()
def fill_sentence(rng: Random) -> Problem:
    form = rng.choice(
        ("NAME has NUMBER apples.", "NAME is NUMBER years old.", "NAME scored NUMBER points.", "NAME lives at number NUMBER.", "NAME waits NUMBER minutes.")
    )  # fmt: skip
    code = form.replace("NAME", "{name}").replace("NUMBER", "{k}")
    return Problem(
        say=(
            f'Print the sentence "{form}" with the given name and number filled in.',
            f'Read a name and a number and print "{form}", where NAME and NUMBER are replaced by them.',
            f'Fill in the name and the number in this sentence: "{form}"',
        ),
        input="The first line contains a name. The second line contains an integer.",
        output="Print the sentence, without quotes.",
        case=lambda size: (names(rng, 1)[0], ints(rng, 1, 2, 60)[0]),
        edges=(("Al", 2), ("Zoe", 100), ("Maria", 31)),
        answer=lambda name, k: form.replace("NUMBER", str(k)).replace("NAME", name),
        solution=f"""
            name = input().strip()
            k = int(input())
            print(f"{code}")
            """,
    )


@family()
def drop_word(rng: Random) -> Problem:
    which, code, index = rng.choice((("first", "w[1:]", 0), ("last", "w[:-1]", -1)))
    return Problem(
        say=(
            f"Print the sentence without its {which} word.",
            f"Remove the {which} word of the line and print the others.",
            f"Print all words except the {which} one.",
        ),
        input=_input(rng, 2),
        output="Print the remaining words on one line.",
        case=lambda size: (" ".join(words(rng, size + 1)),),
        edges=(("a cat",), ("sun sun",), ("the dog on the moon",)),
        answer=lambda s: s.split(" ", 1)[1] if index == 0 else s.rsplit(" ", 1)[0],
        solution=f"""
            w = input().split()
            print(*{code})
            """,
    )
