"""The task of short strings to be reversed."""

import pytest

from strop.tasks.base import Item
from strop.tasks.reverse import Reverse

ITEM = Item("reverse/abcd", "abcd", [{"role": "user", "content": "abcd"}], "dcba")


@pytest.mark.parametrize(
    ("answer", "right"),
    [("dcba", 4), ("dcbb", 3), ("dcb", 3), ("", 0), ("dcbaa", 3), ("dcba" * 9, 0), ("xdcba", 0), ("abcd", 0)],
)
def test_every_answer_has_the_letters_of_the_string_for_tests(answer, right):
    """However long it is, so that two models' answers can be compared."""
    judgement = Reverse.grade(ITEM, answer)
    assert (judgement.passed, judgement.total, judgement.accepted) == (right, 4, answer == "dcba")
