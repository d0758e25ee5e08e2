"""Mathematics in Unicode's own characters, and between Chinese ones, is read as what it says."""

import pytest

from strop.rewards.math import math_verdicts
from strop.rewards.signs import plain_signs


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("−5 ÷ 2", "-5 / 2"),
        ("ｘ＋１２", "x+12"),
        ("½, 1½, 3 ¾, 2⁄3", "1/2, 3/2, 15/4, 2/3"),
        ("√2 + √(x+1)", r"\sqrt{2} + \sqrt{x+1}"),
        ("x² + 10⁻¹²", "x^{2} + 10^{-12}"),
        ("一共有5个，即$5$。", "一共有 5 个，即 $5$ 。"),
        ("It is 5, i.e. 2 + 3.", "It is 5, i.e. 2 + 3."),
        (r"\frac{1}{2} and \boxed{3-5}", r"\frac{1}{2} and \boxed{3-5}"),
    ],
)
def test_signs(written, plain):
    assert plain_signs(written) == plain


def test_answers_are_equal_however_their_signs_are_written():
    pytest.importorskip("math_verify")
    right = [
        ("-5", "The answer is −5."), ("5", r"\boxed{５}"), ("1/2", "½"), ("3/2", r"\boxed{1½}"),
        (r"\sqrt{2}", r"\boxed{√2}"), ("x^2", r"\boxed{x²}"), (r"-\infty", r"\boxed{−∞}"), ("−5", r"\boxed{-5}"),
        ("5", "答案是5。"), ("5", "一共有5个苹果"), ("-5", "所以答案：−５。"),
    ]  # fmt: skip
    wrong = [("5", r"\boxed{1½}"), ("2", r"\boxed{√2}"), ("5", "答案是25。"), ("5", "−5"), ("2", r"\boxed{x²}")]
    kinds = [verdict.kind for verdict in math_verdicts(right + wrong)]
    assert kinds == ["equal"] * len(right) + ["different"] * len(wrong)
