"""A file of prompts and references of the user's own: what is asked, and what answers are judged by."""

import json

import pytest

from strop.common.errors import InputError
from strop.tasks import open_task
from strop.tasks.base import TASKS


def opened(tmp_path, *rows, **settings):
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return open_task("mine", TASKS["answers"].Settings(task="answers", path=path, **settings))


def asked(tmp_path, row, **settings):
    [item] = opened(tmp_path, row, **settings).items()
    return [(turn["role"], turn["content"]) for turn in item.messages]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"instruction": "Translate.", "input": "cat", "output": "chat"}, "Translate.\n\ncat"),
        ({"input": "1 2", "output": "3", "instruction": "Add the digits 1 2."}, "Add the digits 1 2.\n\n1 2"),
        ({"instruction": "Capital of France?", "input": "", "output": "Paris"}, "Capital of France?"),
        ({"instruction": "Capital of France?", "input": " ", "context": None, "output": "Paris"}, "Capital of France?"),
        ({"instruction": "Who?", "context": "Ann came.", "output": "Ann"}, "Who?\n\nAnn came."),
        ({"instruction": "", "input": "cat", "output": "chat"}, "cat"),
        ({"question": "Who?", "context": "Ann came.", "answer": "Ann"}, "Ann came.\n\nWho?"),
        ({"question": "Who came? Ann came.", "context": "Ann came.", "answer": "Ann"}, "Who came? Ann came."),
        ({"prompt": "Add.", "input": "1 2", "answer": "3"}, "Add.\n\n1 2"),
        ({"prompt": "", "question": "1 + 2?", "answer": "3"}, "1 + 2?"),
    ],
)
def test_columns_that_belong_together_are_asked_together(tmp_path, row, text):
    """As training on the same row reads them."""
    assert asked(tmp_path, row) == [("user", text)]


def test_a_system_prompt_in_its_column_comes_first(tmp_path):
    row = {"instruction": "Translate.", "input": "cat", "system": "Be terse.", "output": "chat"}
    assert asked(tmp_path, row) == [("system", "Be terse."), ("user", "Translate.\n\ncat")]


def test_a_column_that_is_named_is_asked_as_it_stands(tmp_path):
    row = {"instruction": "Translate.", "input": "cat", "output": "chat"}
    assert asked(tmp_path, row, columns={"prompt": "input"}) == [("user", "cat")]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"instruction": "", "input": " ", "output": "x"}, "'prompt' is empty; fill it in or drop the row"),
        ({"instruction": 3, "input": "a", "output": "x"}, "'instruction' is a number; give it as text"),
        ({"output": "x"}, "has no 'prompt' or 'question'"),
    ],
)
def test_a_row_without_a_prompt_is_refused(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        opened(tmp_path, row).items()
