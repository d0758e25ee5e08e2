"""MBPP: its rows, its prompts, and what its grader accepts."""

import json

import pytest

from strop.common.errors import InputError
from strop.tasks import open_task
from strop.tasks.base import TASKS
from strop.tasks.mbpp import MbppItem, as_it_stands, grade, load

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
    assert item == MbppItem("MBPP/11", ROW["text"], tuple(ROW["test_list"]), "", ("double",), ROW["code"], 11)
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
        ({"test_list": [f"assert f({'-' * 20_000}1)"]}, "'test_list' is nested too deep to be read"),
        ({"test_list": ["assert 1 == 1"]}, "'test_list' calls no function of the answer"),
    ],
)
def test_a_bad_row_is_named(tmp_path, changes, message):
    with pytest.raises(InputError) as error:
        read(tmp_path, **changes)
    assert str(error.value).startswith(f"{tmp_path / 'm.jsonl'}:1: {message}")
    assert "\n" not in str(error.value)


def row(number):
    tests = [f"assert f{number}({i}) == {i}" for i in range(3)]
    return {
        "text": f"Task {number}.",
        "code": f"def f{number}(x):\r\n  return x ",
        "task_id": number,
        "test_list": tests,
    }


def opened(tmp_path, *rows, **settings):
    path = write(tmp_path / "mbpp.jsonl", *rows)
    return open_task("mbpp", TASKS["mbpp"].Settings(path=path, **settings))


def test_the_papers_prompt_with_three_examples(tmp_path):
    """Word for word as lm-evaluation-harness 0.4.13 has it, blanks and line ends of the data included."""
    task = opened(tmp_path, *map(row, (4, 2, 11, 3, 7)), style="completion", split="test")
    [item] = task.all_items
    asked = "You are an expert Python programmer, and here is your task: Task {0}. Your code should pass these tests:"
    asked += "\n\nassert f{0}(0) == 0\nassert f{0}(1) == 1\nassert f{0}(2) == 2\n[BEGIN]\n"
    shot = asked + "def f{0}(x):\r\n  return x \n[DONE]\n\n"
    assert item.text == "".join(shot.format(n) for n in (2, 3, 4)) + asked.format(11)
    assert (task.stop, item.name, task.settings.shots) == (("[DONE]",), "MBPP/11", 3)


def test_a_completion_is_the_program_as_it_stands(tmp_path):
    task = opened(tmp_path, *map(row, (2, 3, 4, 11)), style="completion", split="test")
    [item] = task.all_items
    answers = ["def f11(x):\n  return x\n", "```python\ndef f11(x): return x\n```", "Sure: def f11(x): return x", " "]
    verdicts = [one.verdict for one in task.judge([item] * 4, answers)]
    assert verdicts == ["accepted", "accepted", "syntax_error", "no_code"]


DOUBLE = "def double(x):\n    return 2 * x\n"
DOCUMENTED = 'def double(x):\n    """Twice.\n\n    ```python\n    >>> double(1)\n    ```\n    """\n    return 2 * x\n'
COMMENTED = f"{DOUBLE}\n# Example:\n# ```python\n# double(1)\n# ```\n"


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        (DOCUMENTED, DOCUMENTED),
        (COMMENTED, COMMENTED),
        (f"{DOUBLE}```\n", DOUBLE),
        (f"{DOUBLE}```\nUse:\n```python\nprint(double(1))\n```\n", DOUBLE),
        (f"{DOUBLE}~~~\n", DOUBLE),
        (f"Like this:\n```\ndouble(1) == 2\n```\n```python\n{DOUBLE}```", DOUBLE),
        (f"import math\n```python\n{DOUBLE}```", DOUBLE),
        ("Like this:\n```python\nprint(1)\n```", "print(1)\n"),
        ("Like this:\n```python\n```", None),
    ],
)
def test_fences_in_a_completion(tmp_path, answer, program):
    """Where they stand in a string or comment of whole Python they are its text."""
    assert as_it_stands(answer, ["double"]) == program
    if program and "def double" in program:
        assert grade(read(tmp_path, test_list=["assert double(2) == 4"]), answer, completes=True).accepted


def test_examples_in_a_chat_and_from_another_file(tmp_path):
    own = write(tmp_path / "shots.jsonl", row(900), row(901))
    task = opened(tmp_path, row(11), shots=2, shots_path=own)
    turns = task.all_items[0].messages
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2 + ["user"]
    assert turns[1]["content"] == "```python\ndef f900(x):\r\n  return x\n```"
    assert turns[-1]["content"] == task.found[0].prompt
    with pytest.raises(InputError, match="3 examples are asked for and 2 there; lower shots"):
        opened(tmp_path, row(11), style="completion", shots_path=own).items()


def test_an_example_is_not_shown_before_itself(tmp_path):
    task = opened(tmp_path, *map(row, (2, 3, 4, 5)), style="completion")
    assert [item.text.count("[BEGIN]") for item in task.all_items] == [4] * 4
    assert task.notes == ["3 of its questions stand among its own worked examples too; these are not shown before "
                          "themselves"]  # fmt: skip


def test_a_benchmark_with_its_source_its_bound_and_room_for_a_function(tmp_path):
    task = opened(tmp_path, row(2), count=1)
    assert (task.settings.max_tokens, task.stop, task.licence) == (768, (), "CC-BY-4.0")
    assert task.measures()["mbpp_pass@1"].bound == 0.05
    with pytest.raises(InputError, match=r"no row of .* has a task_id of 11 to 510; drop split"):
        opened(tmp_path, row(2), split="test")
