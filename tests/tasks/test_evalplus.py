"""HumanEval+ and MBPP+ in the layouts in which they are published; the problems here are made up."""

import json

import pytest

from strop.common.errors import InputError
from strop.tasks import open_task
from strop.tasks.base import AnswerSettings

PROMPT = 'def scaled(xs: list, by: float) -> list:\n    """Every number times by."""\n'
ROW = {
    "task_id": "HumanEval/900",
    "prompt": PROMPT,
    "entry_point": "scaled",
    "canonical_solution": "    return [x * by for x in xs]\n",
    "test": "def check(candidate):\n    assert candidate([1], 2) == [2]\n",
    "contract": "\n    assert isinstance(xs, list)\n",
    "base_input": [[[1], 2]],
    "plus_input": [[[], 3], [[0.1, 0.2], 3.0], [[1, [2]], 2]],
    "atol": 0,
}


def opened(tmp_path, *rows):
    path = tmp_path / "plus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_task("plus", AnswerSettings(path=path))


def verdict(task, body, item=0):
    one = task.all_items[item]
    return task.grade(one, f"```python\nimport math\ndef {one.data.entry_point}(*a):\n    {body}\n```").verdict


def test_an_answer_is_held_against_the_reference_on_both_lists(tmp_path):
    task = opened(tmp_path, ROW)
    assert verdict(task, "return [x * a[1] for x in a[0]]") == "accepted"
    assert verdict(task, "return [x * a[1] + 1e-9 if isinstance(x, float) else x * a[1] for x in a[0]]") == "accepted"
    # right on HumanEval's own input, and in its `test`, alone
    assert verdict(task, "return [2]") == "wrong_answer"
    # evalplus wants the same type where a tolerance is asked for
    assert verdict(task, "r = [x * a[1] for x in a[0]]; return r if a[1] != 3.0 else tuple(r)") == "wrong_answer"
    assert verdict(task, "a[0].clear(); return []") == "wrong_answer"
    assert verdict(task, "raise ValueError") == "runtime_error"
    assert next(iter(task.measures())) == "plus_pass@1"
    assert not task.notes


@pytest.mark.parametrize(
    ("expected", "atol", "out", "verdict_"),
    [
        ("0.3", 0, "0.1 + 0.2", "accepted"),
        ("0.3", 0, "0.30001", "wrong_answer"),
        ("0.3", 1e-4, "0.30001", "accepted"),
        ("1e9", 0, "1e9 + 50", "accepted"),  # 1e-7 of what is expected
        ("1e9", 0, "1e9 + 200", "wrong_answer"),
        ("10**9", 0, "10**9 + 1", "wrong_answer"),  # whole numbers have none
        ("2.0", 0, "2", "accepted"),  # equal
        ("[0.5, 0.5]", 0, "[0.5]", "wrong_answer"),
        ("float('inf')", 0, "1e308", "wrong_answer"),
        ("float('nan')", 0, "float('nan')", "wrong_answer"),
        ("'a'", 1e-6, "'b'", "wrong_answer"),
        ("(1, 2)", 0, "[1, 2]", "wrong_answer"),
        ("True", 0, "1", "accepted"),
        ("[[0.5], [1]]", 1e-4, "[[0.50001], [1]]", "accepted"),
        ("[[0.5], []]", 1e-4, "[[0.50001], []]", "wrong_answer"),  # no array
        ("[10 ** 400, 0.5]", 1e-4, "[1, 0.5]", "wrong_answer"),
    ],
)
def test_what_is_equal(tmp_path, expected, atol, out, verdict_):
    prompt = 'def f(n):\n    """One."""\n'
    row = ROW | {"prompt": prompt, "entry_point": "f", "canonical_solution": f"    return {expected}\n", "atol": atol}
    task = opened(tmp_path, row | {"base_input": [[1]], "plus_input": [[2]]})
    assert verdict(task, f"return {out}") == verdict_


def test_any_root_counts(tmp_path):
    prompt = 'def find_zero(xs):\n    """A root."""\n'
    row = ROW | {"prompt": prompt, "entry_point": "find_zero", "canonical_solution": "    return 1.0\n", "atol": 1e-4}
    task = opened(tmp_path, row | {"base_input": [[[-4, 0, 1]]], "plus_input": [[[-9, 0, 1]]]})
    assert verdict(task, "return -math.sqrt(-a[0][0])") == "accepted"
    assert verdict(task, "return 2.0") == "wrong_answer"


def test_evalplus_23_problems_whose_added_inputs_add_nothing_are_said(tmp_path):
    """evalplus #23: HumanEval+ 0.1.3 held HumanEval's inputs twice for four problems, and scored them as its own."""
    task = opened(tmp_path, ROW, ROW | {"task_id": "HumanEval/901", "plus_input": ROW["base_input"]})
    [note] = task.notes
    assert note.startswith("in 1 of 2 problems 'plus_input' adds nothing to 'base_input'")
    assert note.endswith(": HumanEval/901")


MBPP = {"task_id": 2, "text": "Add.", "code": "def add(a, b): return a + b", "test_list": ["assert add(1, 2) == 3"]}
NUMPY = "import numpy as np\ndef check(candidate):\n    np.testing.assert_allclose(candidate([1], 2), [2])\n"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**ROW, "plus_input": [1]}, "'plus_input' is no list of lists of arguments"),
        ({**ROW, "base_input": [], "plus_input": []}, "are empty, so answers cannot be judged"),
        ({**ROW, "atol": -1}, "'atol' is -1; give a number of at least 0"),
        ({**ROW, "entry_point": "other"}, "the prompt does not define 'other', its entry_point"),
        # the hub's humanevalplus and mbppplus: every answer would fail by the missing package
        ({k: v for k, v in ROW.items() if not k.endswith("_input")} | {"test": NUMPY}, "'test' imports numpy"),
        (MBPP | {"test_imports": ["import numpy as np"]}, "'test_setup_code' imports numpy"),
        (MBPP | {"test": NUMPY}, "has the tests of MBPP. in 'test' beside 'test_list'"),
        # MbppPlus.jsonl
        ({**ROW, "task_id": "Mbpp/2", "assertion": "assert scaled([1], 2) == [2]"}, "holds MBPP. problems as evalplus"),
    ],
)
def test_what_cannot_be_judged_is_refused(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        opened(tmp_path, row)
