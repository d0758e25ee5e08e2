"""Numbers in answers, and where they are read otherwise than lm-evaluation-harness reads them."""

import re
from decimal import Decimal

import pytest

from strop.rewards.numbers import finished_number, flexible_number, number, strict_number


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("The answer is __18__.", 18), ("_18_", 18), ("***18***", 18), ("**_18_**", 18), ("答案是__18__", 18),
        ("USD18", 18), ("It costs EUR18.50.", 18.5), ("Rs18", 18), ("US$18", 18),
        ("x_2", None), ("a_18", None), ("snake_18_case", None), ("XUSD", None), ("ABC18", None), ("R18", None),
        # thousands with spaces between them
        ("1 000", 1000), ("It is 1 000.", 1000), ("$1 050.50", 1050.5), ("-12 000", -12000), ("12 100 000", 12_100_000),
        ("1\u00a0234", 1234), ("1\u2009234\u2009567 people", 1_234_567), ("12\u202f345", 12345),
        # numbers side by side
        ("in 2020 100 people", 100), ("3 500 ml bottles", 500), ("in 2020 000", 0), ("12 100 watt bulbs", 100),
        ("1 0000", 0), ("5 0", 0), ("1 23", 23), ("1000 000", 0), ("1\u00a023", 23), ("2 + 2 = 4 100 times", 100),
    ],
)  # fmt: skip
def test_the_last_number_of_a_text(answer, value):
    assert flexible_number(answer) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-05", "0.00001"), ("1.5e6", 1_500_000), ("1e+22", 10**22), ("2.5E3", 2500), ("-1.5e-3", "-0.0015"),
        ("1{,}000", 1000), ("1\\,000", 1000), ("12\\,345\\,678.5", "12345678.5"), ("1,\\!000", 1000),
        ("答案是1e3。", 1000), ("\\$1{,}000", 1000), ("-\\$5", -5), ("$\\boxed{80\\,000}$", 80_000),
        # an exponent has digits and ends its word; thousands have three digits
        ("2e", 2), ("3 e", 3), ("3 e5", 3), ("e5", None), ("0x1e5", 0), ("3f1e5", 3), ("5e3a", 5), ("2e5.5", 2),
        ("1e1234", 1), ("1{,}00", 0), ("1\\,23", 23), ("(1{,}2)", 2), ("1_000", 1),
    ],
)  # fmt: skip
def test_exponents_and_thousands_in_latex(text, value):
    """After #### they are as the harness reads them, up to the first sign that it does not know."""
    found = flexible_number(text)
    assert found == (None if value is None else Decimal(value))
    assert flexible_number(f"It is {text}.") == found
    own = number(text)
    assert own is None or own == found  # a reference is read as answers are


def test_references_that_programs_write_are_right_themselves():
    for value in (1e-05, 1e22, 2.5e-7, 123456789.125, -3e-9, 10**20, 0.1):
        assert number(str(value)) == flexible_number(f"The answer is {value}.") == Decimal(str(value))
    assert [number(text) for text in ("1_000", "2e", "0x1e5", "1{,}00", "nan", "1e")] == [None] * 6


STRICT_HARNESS = re.compile(r"#### (\-?[0-9\.\,]+)")  # of its task gsm8k, version 3; its filter takes the first
LOOSE_HARNESS = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")  # of which the last


def harness(pattern, answer, take):
    """Its answer as text, cleaned as its metric cleans it, or None where it says [invalid]."""
    found = ["".join(one) if isinstance(one, tuple) else one for one in pattern.findall(answer)]
    return re.sub(r",|\$|(?s:.*#### )|\.$", "", found[take]) if found else None


@pytest.mark.parametrize(
    ("answer", "own", "theirs"),
    [
        ("#### 18", 18, "18"), ("#### 1,000", 1000, "1000"), ("#### -5", -5, "-5"), ("#### 18.", 18, "18"),
        ("#### 18 apples", 18, "18"), ("18", None, None),
        ("#### 1e5", 1, "1"), ("#### 1{,}000", 1, "1"), ("#### none", None, None), ("#### x18", None, None),
        # where they differ, and the project's documentation says so
        ("#### 18.00", 18, "18.00"), ("#### $18", 18, None), ("####18", 18, None), ("####  18", 18, None),
        ("#### −5", -5, None), ("#### ４２", 42, None), ("#### 1 000", 1000, "1"), ("#### 3\n#### 4", 4, "3"),
        ("<think>#### 3</think>#### 4", 4, "3"),
    ],
)  # fmt: skip
def test_strict_against_the_harness(answer, own, theirs):
    assert (strict_number(answer), harness(STRICT_HARNESS, answer, 0)) == (own, theirs)


@pytest.mark.parametrize(
    ("answer", "own", "theirs"),
    [
        ("It is 18.", 18, "18"), ("__18__", 18, "18"), ("USD18", 18, "18"), ("$1,000", 1000, "1000"), ("-5", -5, "-5"),
        # where they differ
        ("x2", None, "2"), ("10-3", 3, "-3"), ("1 000", 1000, "000"), ("−5", -5, "5"), ("no, ...", None, ".."),
    ],
)  # fmt: skip
def test_flexible_against_the_harness(answer, own, theirs):
    assert (flexible_number(answer), harness(LOOSE_HARNESS, answer, -1)) == (own, theirs)


def test_a_number_by_itself():
    assert [number(text) for text in ("1 234", "1\u00a0234.5", "−$1 000", "12 34", "1 0000")] == [
        1234, pytest.approx(1234.5), -1000, None, None,
    ]  # fmt: skip


def test_of_an_answer_that_was_cut_off_what_no_digit_can_follow():
    cut = ("#### 12", "#### 12.", "#### 1 ", "#### 1 0", "#### 1\u00a0", "#### 12\n", "#### 12. So", "#### 1\n#### 2")
    assert [finished_number(answer) for answer in cut] == ["", "", "", "", "", "#### 12", "#### 12", "#### 1"]
