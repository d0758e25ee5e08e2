"""The calculator: exact, bounded, and nothing but arithmetic."""

import random
from fractions import Fraction

import pytest

from strop.tasks.gsm8k import EXAMPLES
from strop.tools.base import CallError
from strop.tools.calculator import calculate, written


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("48/2", "24"),
        ("0.1*3", "0.3"),
        (".05*100", "5"),
        ("1,200 + 3", "1203"),
        ("$5 × 4", "20"),
        ("20%", "0.2"),
        ("50*20%", "10"),
        ("7 % 3", "1"),
        ("2/3", "0.666667"),
        ("-1/3", "-0.333333"),
        ("-0.0000001", "0"),
        ("1/1000000", "0.000001"),
        ("7//2", "3"),
        ("-(2+3)*4", "-20"),
        ("2**10", "1024"),
        ("2**-1", "0.5"),
        ("1e3", "1000"),
        ("10.50", "10.5"),
    ],
)
def test_values(expression, value):
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')", "x+1", "1 if 2 else 3", "[1]", "(1).real", "1 < 2", "True", "'a'*3", "1j", "0x10 + 1", "",
        "1/0", "1//0", "5 % 0", "0**-1", "9**9**9", "2**0.5", "(" * 90 + "1" + ")" * 90 + ")", "1" * 201,
        "10**600*10**600", "2^3", "print(1)", "1;2", "\x00", "9" * 190 + "**9",
        "1e999999999", "1E-999999999", "1e1000000", "0e99999999", "2 * 1.5e+0009999999", "1e" + "9" * 150, "1e617",
    ],
)  # fmt: skip
def test_all_else_is_refused_in_words(expression):
    with pytest.raises(CallError):
        calculate(expression)


def test_the_calculations_of_gsm8k_are_done_as_they_stand_there():
    found = [piece.partition(">>")[0].split("=") for _, answer in EXAMPLES for piece in answer.split("<<")[1:]]
    assert len(found) > 10
    for expression, value in found:
        assert calculate(expression) == value


def test_what_is_written_is_the_value_to_six_decimals():
    generator = random.Random(0)
    for _ in range(500):
        value = Fraction(generator.randint(-(10**8), 10**8), generator.randint(1, 10**4))
        assert abs(Fraction(written(value)) - value) <= Fraction(1, 2 * 10**6)
        assert not written(value).endswith(".")


def test_a_large_exponent_is_too_large_and_is_not_written_out():
    for expression in ("1e999999999", "3 + 1e-99999999", "1e617"):
        with pytest.raises(CallError, match="the result is too large"):
            calculate(expression)
    assert calculate("1e600 / 1e599") == "10"
    assert calculate("2e0003") == "2000"
