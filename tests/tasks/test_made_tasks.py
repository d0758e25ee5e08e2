"""Graders of the tasks that strop draws: sums, and words to spell."""

import pytest

from strop.tasks.base import Item
from strop.tasks.spelling import Asked, SimpleSpelling
from strop.tasks.spelt import spelt_letters
from strop.tasks.sums import Sum, Sums


def test_a_negated_result_is_wrong():
    item = Item("n", "n", [], Sum("What is 24 - 12?", "24 - 12", "12", "24 - 12 is 12."))
    right = ["12", "It is 12.", "24 - 12 is 12.", "24-12=12", "12 = 24-12", "12 = 24 minus 12", "24减12等于12。",
             "= 12.0",
             "- The answer:\n- 12", "12 = (20+4)-12", "$12"]  # fmt: skip
    wrong = ["24 - 12 is -12.", "The answer is -12", "24-12=-12", "-12", "minus 12", "It is negative 12.", "等于负12。",
             "是−12", "−12.0", "is –12", "-$12", "13"]  # fmt: skip
    assert [Sums.grade(item, answer).verdict for answer in right] == ["accepted"] * len(right)
    assert [Sums.grade(item, answer).verdict for answer in wrong] == ["wrong_answer"] * len(wrong)
    assert Sums.grade(item, "none").verdict == "no_answer"


@pytest.mark.parametrize("answer", ["12,345", "$12{,}345$", "\\boxed{12\\,345}", "12,\\!345"])
def test_thousands_in_latex_are_one_number(answer):
    item = Item("n", "n", [], Sum("What is 823 * 15?", "823 * 15", "12345", "823 * 15 is 12345."))
    assert Sums.grade(item, answer).accepted


@pytest.mark.parametrize(
    ("answer", "spelt"),
    [
        ("h, e, l, l, o", "hello"), ("h-e-l-l-o", "hello"), ("H E L L O", "hello"), ("H.E.L.L.O.", "hello"),
        ("h, e, l, l, o. I hope this helps!", "hello"), ("h-e-l-l-o. A nice word.", "hello"),
        ("h. e. l. l. o. I hope so", "hello"), ("h e l l o. A word", "hello"), ("h, e, l, l, o\nI hope so", "hello"),
        ("h, e, l, l, o\n\nA word", "hello"), ("h, e, l, l, o I hope", "hello"), ("h\ne\nl\nl\no\nI hope", "hello"),
        ("'h', 'e', 'l', 'l', 'o'", "hello"), ('["h", "e", "l", "l", "o"]', "hello"),
        ("`h`, `e`, `l`, `l`, `o`", "hello"),
        ("**h**, **e**, **l**, **l**, **o**", "hello"), ("**h-e-l-l-o**", "hello"),
        ("(h), (e), (l), (l), (o)", "hello"),
        ("1. h\n2. e\n3. l\n4. l\n5. o", "hello"), ("1. h\n2. e\n3. l\n4. l\n5. o\n\nI hope", "hello"),
        ("1) h\n\n2) e\n\n3) l\n\n4) l\n\n5) o", "hello"), ("- h\n- e\n- l\n- l\n- o\n", "hello"),
        ("h\ne\nl\nl\no", "hello"), ("h, e, l, l, and o", "hello"), ("h, e, l, l and o.", "hello"),
        ("h、e、l、l、o。", "hello"),
        ("h -> e -> l -> l -> o", "hello"), ("h, e, l l, o", "hello"), ("s, o, f, a", "sofa"), ("s o f a", "sofa"),
        ("s, o, f, a is the spelling.", "sofa"), ("a, b, o, u, t", "about"), ("The word is a h-e-l-l-o", "hello"),
        ("I spell it so: h, e, l, l, o.", "hello"), ("h, e, l, l, o. I, a model, hope so", "hello"),
        ("h, e, l, o. No: h, e, l, l, o", "hello"), ("It's h, e, l, l, o. I'm sure.", "hello"),
        ("S-K-I", "ski"), ("hello", None), ("I am a model.", None), ("", None), ("h, e", "he"),
    ],
)  # fmt: skip
def test_letters_of_a_spelt_word(answer, spelt):
    assert spelt_letters(answer) == spelt


def test_a_spelling_is_graded_by_the_letters():
    item = Item("n", "n", [], Asked("hello", "l", ""))
    answers = ("h, e, l, l, o. I hope this helps!", "h, e, l, o", "hello", "<think>h, e, l, l, o</think>h-a-l-l-o")
    verdicts = [SimpleSpelling.grade(item, answer).verdict for answer in answers]
    assert verdicts == ["accepted", "wrong_answer", "no_answer", "wrong_answer"]
