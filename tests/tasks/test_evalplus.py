"""HumanEval+ and MBPP+ in the layouts in which they are published; the problems here are made up."""

import json

import pytest

from strop.common.errors import InputError
from strop.tasks import open_task
from strop.tasks.base import TASKS, AnswerSettings

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
        # its number tells what is a tuple
        (
            {**ROW, "task_id": "mine", "assertion": "assert scaled([1], 2) == [2]"},
            "'task_id' is 'mine', and its number",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        opened(tmp_path, row)


def mbpp_plus(tmp_path, name, solution, *inputs, number=900, atol=0, **settings):
    """The task of one made-up problem, and its item."""
    row = {
        "task_id": f"Mbpp/{number}",
        "prompt": f'"""\nWrite a function {name}.\nassert {name}(...) == ...\n"""\n',
        "entry_point": name,
        "canonical_solution": f"\n{solution}\n",
        "base_input": list(inputs[:1]),
        "plus_input": list(inputs[1:]),
        "atol": atol,
        "contract": "",
        "assertion": f"assert {name}(...) == ...",
    }
    path = tmp_path / "MbppPlus.jsonl"
    path.write_text(json.dumps(row) + "\n")
    task = open_task("mbpp_plus", TASKS["mbpp_plus"].Settings(path=path, **settings))
    return task, task.all_items[0]


def test_mbpp_plus_holds_an_answer_against_the_reference(tmp_path):
    task, item = mbpp_plus(tmp_path, "half", "def half(x):\n    return x / 2", [2], [3])
    fenced = "Here:\n```python\n{}\n```"
    for program, verdict_ in (
        ("def half(x): return 0.5 * x", "accepted"),
        ("half = lambda x: x // 2", "wrong_answer"),  # right on MBPP's own input alone
        ("def other(x): return x", "runtime_error"),
    ):
        assert task.grade(item, fenced.format(program)).verdict == verdict_
    assert "Write a function half." in item.messages[0]["content"]
    assert (next(iter(task.measures())), task.licence) == ("mbpp_plus_pass@1", "Apache-2.0")


KINDS = "def f(*args):\n    def kind(v):\n        return [type(v).__name__, *map(kind, v)] if isinstance(v, (list, "
KINDS += (
    "tuple)) else type(v).__name__\n    return [kind(v.get('k', v) if v and isinstance(v, dict) else v) for v in args]"
)


@pytest.mark.parametrize(
    ("number", "given", "kinds"),
    [
        (1, [[1]], [["list", "int"]]),
        (2, [[1], [2]], [["tuple", "int"], ["tuple", "int"]]),
        (63, [[[1]]], [["list", ["tuple", "int"]]]),
        (75, [[[1]], 2], [["list", ["tuple", "int"]], "int"]),
        (106, [[1], [2]], [["list", "int"], ["tuple", "int"]]),
        (115, [[[1], []]], [["list", "set", "dict"]]),
        (124, ["1", "1j"], ["float", "complex"]),
        (250, [[1], 2], [["tuple", "int"], "int"]),
        (252, ["1j"], ["complex"]),
        (259, [[[1]]], [["tuple", ["tuple", "int"]]]),
        (278, [[1, [2]]], [["tuple", "int", ["tuple", "int"]]]),
        (307, [[1], 2, 3], [["tuple", "int"], "int", "int"]),
        (580, [[[1, [2]]]], [["tuple", ["tuple", "int", ["tuple", "int"]]]]),
        (722, [{"k": [1]}, 2], [["tuple", "int"], "int"]),
    ],
)
def test_mbpp_plus_arguments_are_what_the_problem_wants(tmp_path, number, given, kinds):
    task, item = mbpp_plus(tmp_path, "f", f"def f(*args):\n    return {kinds!r}", given, number=number)
    assert task.grade(item, f"```python\n{KINDS}\n```").detail == ""
    assert task.grade(item, f"```python\n{KINDS}[:0]\n```").verdict == "wrong_answer"


@pytest.mark.parametrize(
    ("name", "reference", "given", "right", "wrong"),
    [
        ("Diff", "[1, 2]", [1], "[2, 1, 1]", "[1]"),
        ("check_str", "None", [1], "False", "True"),
        ("check_str", "True", [1], "object()", "None"),
        ("are_equivalent", "True", [1], "False", "1 / 0"),
        ("sum_div", "6", [1], "0", "1"),
        ("surface_Area", "33", [3, 4], "35", "34"),
        ("digit_distance_nums", "1", [1, 10], "1", "9"),
        ("digit_distance_nums", "3", [1, 10], "2", "4"),
        ("other", "[1, 2]", [1], "[1, 2]", "[2, 1]"),
    ],
)
def test_mbpp_plus_ambiguous_problems(tmp_path, name, reference, given, right, wrong):
    task, item = mbpp_plus(tmp_path, name, f"def {name}(*a): return {reference}", given)
    verdicts = [task.grade(item, f"```python\ndef {name}(*a): return {out}\n```").verdict for out in (right, wrong)]
    assert verdicts[0] == "accepted"
    assert verdicts[1] in ("wrong_answer", "runtime_error")


def test_the_published_protocol_as_completion(tmp_path):
    task, item = mbpp_plus(tmp_path, "half", "def half(x):\n    return x / 2", [2], style="completion")
    assert item.text.startswith('"""\nWrite a function half.')
    assert {'\n"""', "\nassert"} < set(task.stop)
    assert task.grade(item, "def half(x):\n    return x / 2").accepted
    assert task.grade(item, "def half(x):\n    return x / 2\nprose here").verdict == "syntax_error"
    path = tmp_path / "plus.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    plus = open_task("humaneval_plus", TASKS["humaneval_plus"].Settings(path=path, style="completion"))
    assert plus.all_items[0].text == PROMPT
    assert plus.grade(plus.all_items[0], "    return [x * by for x in xs]\n").accepted


@pytest.mark.parametrize("name", ["mbpp", "humaneval_plus", "mbpp_plus"])
def test_a_benchmark_without_its_file_says_what_to_give(name):
    with pytest.raises(InputError, match=rf"^evals.{name}: give it a `path`, \w+\.jsonl"):
        open_task(name, TASKS[name].Settings())


def test_a_benchmark_under_anothers_name_is_refused(tmp_path):
    path = tmp_path / "plus.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    with pytest.raises(InputError, match=r"is a problem of HumanEval. or MBPP.; measure the file as .*humaneval_plus"):
        open_task("humaneval", TASKS["humaneval"].Settings(path=path))
    path.write_text(json.dumps(ROW | {"assertion": "assert 1"}) + "\n")
    with pytest.raises(InputError, match=r"is a problem of MBPP.; measure .*mbpp_plus"):
        open_task("humaneval_plus", TASKS["humaneval_plus"].Settings(path=path))
