"""MBPP: its rows, its prompts, and what its grader accepts."""

import json

import pytest

from strop.common.errors import InputError
from strop.tasks.mbpp import MbppItem, grade, load

ROW = {
    "text": "Write a function to double a number.",
    "code": "import math\r\ndef double(x): return 2 * x",
    "task_id": 11,
    "test_setup_code": "",
    "test_list": ["assert double(2) == 4", "assert math.sqrt(double(8)) == 4"],
    "challenge_test_list": ["assert double(0) == 1"],
}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(tmp_path, **changes):
    return load(write(tmp_path / "m.jsonl", {k: v for k, v in (ROW | changes).items() if v is not None}))[0]


def test_item(tmp_path):
    item = read(tmp_path)
    assert item == MbppItem("MBPP/11", ROW["text"], tuple(ROW["test_list"]), "", ("double",), ROW["code"])
    assert item.messages == [
        {
            "role": "user",
            "content": "You are an expert Python programmer, and here is your task: Write a function to double a "
            "number. Your code should pass these tests:\n\n```python\nassert double(2) == 4\n"
            "assert math.sqrt(double(8)) == 4\n```\n\nAnswer with the whole code in one Python code block.",
        }
    ]


def test_the_sanitized_layout(tmp_path):
    item = read(tmp_path, text=None, prompt="Double it.", test_setup_code=None, test_imports=["import math"], code=None)
    assert (item.text, item.setup, item.names) == ("Double it.", "import math", ("double",))
    assert grade(item, "```python\ndef double(x): return x + x\n```").accepted


@pytest.mark.parametrize(
    ("tests", "code", "names"),
    [
        (["assert sum(1, 2) == 3"], "def sum(a, b): return a + b", ("sum",)),  # called as a builtin is
        (["assert f([P(1)]) == 1"], "class P: pass\ndef f(x): return 1", ("P", "f")),
        (["assert set(f(1)) == {1}"], None, ("f",)),
        (["assert all(f(x) == x for x in range(3))"], None, ("f",)),
        (["x = 3\nassert f(x) == x"], "x = 1\ndef f(x): return x", ("f",)),
    ],
)
def test_names_that_the_tests_need(tmp_path, tests, code, names):
    assert read(tmp_path, test_list=tests, code=code).names == names


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("```python\ndef double(x): return 2 * x\n```", "accepted"),
        ("```python\ndef double(x): return 2 * x\n```\nUse:\n```python\nassert double(1) == 3, 'no'\n```", "accepted"),
        ("[PYTHON]\ndef double(x): return 2 * x\n[/PYTHON]", "accepted"),
        ("```python\ndouble: object = lambda x: 2 * x\n```", "accepted"),
        ("```python\ndef double(x): return x\n```", "wrong_answer"),
        ("```python\ndef twice(x): return 2 * x\n```", "runtime_error"),
        ("```python\ndef double(x) return 2 * x\n```", "syntax_error"),
        ("It is 4.", "no_code"),
    ],
)
def test_verdicts(tmp_path, answer, verdict):
    item = read(tmp_path, test_list=["assert double(2) == 4"])
    assert grade(item, answer).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": None}, "'prompt' is missing; give it as text"),
        ({"text": " "}, "'text' is empty"),
        ({"text": 3}, "'text' is a number; give it as text"),
        ({"text": "a\ud83d"}, "'text' holds '\\ud83d', half of a surrogate pair"),
        ({"test_list": "assert f()"}, "'test_list' is text; give a list of texts"),
        ({"test_list": []}, "'test_list' is empty, so answers cannot be judged"),
        ({"test_list": [1]}, "'test_list[0]' is a number; give it as text"),
        ({"test_list": ["assert ("]}, "'test_list' is not Python ('(' was never closed (line 1))"),
        ({"test_list": [f"assert f({'-' * 5000}1)"]}, "'test_list' is nested too deep to be read"),
        ({"test_list": ["assert 1 == 1"]}, "'test_list' calls no function of the answer"),
    ],
)
def test_a_bad_row_is_named(tmp_path, changes, message):
    with pytest.raises(InputError) as error:
        read(tmp_path, **changes)
    assert str(error.value).startswith(f"{tmp_path / 'm.jsonl'}:1: {message}")
    assert "\n" not in str(error.value)
