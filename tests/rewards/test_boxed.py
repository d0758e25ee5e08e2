r"""Which boxed result counts, and how MATH's own notations of it are read."""

import pytest

from strop.common.errors import InputError
from strop.rewards.boxed import boxes, last_boxes, with_result_alone_boxed
from strop.tasks.math import problem_of


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("I get \\boxed{3}. Let me check again, that is wrong.\n\nThe final answer is \\boxed{4}.", ["4"]),
        ("So \\boxed{3}.\n\nTherefore, the answer is \\boxed{4}.", ["4"]),
        ("$\\boxed{3}$, hence $\\boxed{4}$", ["4"]),
        ("\\boxed{3}, no, \\boxed{4}", ["4"]),
        ("$$\\boxed{3} \\text{ is wrong, it is } \\boxed{4}$$", ["4"]),
        ("\\boxed{3}\n\n\\boxed{4}", ["4"]),
        ("\\boxed{3}\n\\boxed{4}", ["4"]),
        ("\\boxed{1} and \\boxed{2}", ["1", "2"]),
        ("\\boxed{1}, \\boxed{2}, and \\boxed{3}.", ["1", "2", "3"]),
        ("\\boxed{1},\n\\boxed{2}", ["1", "2"]),
        ("$x = \\boxed{1}$ or $x = \\boxed{2}$", ["1", "2"]),
        ("$\\boxed{1} \\quad\\text{and}\\quad \\boxed{2}$", ["1", "2"]),
        ("\\boxed{1} 和 \\boxed{2}", ["1", "2"]),
        ("First \\boxed{0}.\n\nThen \\boxed{1} and \\boxed{2}", ["1", "2"]),
        ("\\boxed{x = \\boxed{3}}", ["3"]),
        ("\\boxed{4}. Put it within \\boxed{}.", ["4"]),
        ("\\boxed{\\frac{1}{2}} and then \\boxed{", ["\\frac{1}{2}"]),
        ("\\fbox{3}", ["3"]),
        ("$x = \\boxed 3$.", ["3"]),
        ("\\(\\boxed\\frac12\\)", ["\\frac12"]),
        ("so \\boxed 3. Done", ["3"]),
        ("\\boxed{\\text{a}\\} b}", ["\\text{a}\\} b"]),
        ("\\boxed{\\{1, 2\\}}", ["\\{1, 2\\}"]),
        ("\\boxedfoo{3}", []),
        ("none", []),
    ],
)
def test_the_last_box_or_those_that_stand_together(text, result):
    assert [box.content for box in last_boxes(text)] == result


def test_only_the_result_stays_boxed():
    assert with_result_alone_boxed("a \\boxed{3} b \\fbox{4} c") == "a 3 b \\boxed{4} c"
    assert with_result_alone_boxed("a $\\boxed{50}$% b") == "a $\\boxed{50}$% b"
    assert with_result_alone_boxed("x \\boxed{1} and \\boxed{2} y") == "$\\boxed{1}$ and $\\boxed{2}$"
    assert with_result_alone_boxed("\\boxed{4}, \\boxed{4}") == "\\boxed{4}, \\boxed{4}"
    assert with_result_alone_boxed("2 + 2") == "2 + 2"
    eight = ", ".join(f"\\boxed{{{n}}}" for n in range(8))  # more than math-verify reads side by side
    assert with_result_alone_boxed(eight) == "$\\boxed{0, 1, 2, 3, 4, 5, 6, 7}$"


def test_many_boxes_are_read_in_one_go():
    """Each of them would be looked for to the end of the text otherwise."""
    assert boxes("\\boxed{" * 20_000) == []
    assert len(boxes("\\boxed{1} " * 20_000)) == 20_000


@pytest.mark.parametrize(
    ("solution", "reference"),
    [
        ("It is \\fbox{3}.", "3"),
        ("It is $\\boxed 3$.", "3"),
        ("\\boxed{1}\n\n\\boxed{\\text{a}\\} b}", "\\text{a}\\} b"),
        ("$\\boxed{3}$, $\\boxed{3}$", "3"),
        ("It is $\\boxed{1}$ or $\\boxed{2}$.", "$\\boxed{1}$ and $\\boxed{2}$"),
    ],
)
def test_references_in_all_of_the_data_sets_notations(solution, reference):
    assert problem_of({"problem": "p", "solution": solution}, "f:1")[1] == reference
    with pytest.raises(InputError, match=r"f:1: there is no reference answer"):
        problem_of({"problem": "p", "solution": "three \\boxed{}"}, "f:1")


def test_grades_go_by_the_last_result():
    pytest.importorskip("math_verify")
    from strop.rewards.math import math_verdicts

    wrong_first = "I get \\boxed{3}. Let me check again, that is wrong.\n\nThe final answer is \\boxed{4}."
    rows = [
        ("4", wrong_first, "equal"), ("3", wrong_first, "different"),
        ("4", "So \\boxed{3}.\n\nTherefore, the answer is \\boxed{4}.", "equal"),
        ("\\{1, 2\\}", "\\boxed{1} and \\boxed{2}", "equal"), ("1, 2", "$x=\\boxed{1}$ or $x=\\boxed{2}$", "equal"),
        ("2", "\\boxed{1} and \\boxed{2}", "different"), ("(1,2), (3,4)", "\\boxed{(1,2)}, \\boxed{(3,4)}", "equal"),
        ("50\\%", "$\\boxed{50}$%", "equal"), ("4", "\\boxed{4}\n\nPut the answer in \\boxed{}.", "equal"),
        ("3", "\\fbox{3}", "equal"), ("3", "$\\boxed 3$, not 5", "equal"),
    ]  # fmt: skip
    found = math_verdicts([(reference, answer) for reference, answer, _ in rows])
    assert [one.kind for one in found] == [kind for *_, kind in rows]


SOLUTIONS = (
    "The roots are $\\boxed{1}$ and $\\boxed{2}$.",
    "$x=\\boxed{\\frac12}$, $y=\\boxed{-\\sqrt{3}}$",
    "$\\boxed{(1,2)}$ or $\\boxed{(3,4)}$",
    "$\\boxed{1,000}$ and $\\boxed{2,000}$",
    "$\\boxed{\\text{red}}$ and $\\boxed{\\text{blue}}$",
    ", ".join(f"$\\boxed{{{n}}}$" for n in range(8)),
)


def test_a_solution_of_several_boxes_is_right_and_one_of_them_is_not():
    pytest.importorskip("math_verify")
    from strop.rewards.math import math_verdicts

    pairs = []
    for solution in SOLUTIONS:
        reference = problem_of({"problem": "p", "solution": solution}, "f:1")[1]
        last = last_boxes(solution)[-1].content
        pairs += [(reference, solution), (reference, f"\\boxed{{{last}}}")]
    pairs.append((pairs[0][0], "\\boxed{2, 1}"))
    kinds = [one.kind for one in math_verdicts(pairs)]
    assert kinds == ["equal", "different"] * len(SOLUTIONS) + ["equal"]
