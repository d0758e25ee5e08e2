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
        ({"instruction": 3, "input": "a", "output": "x"}, "field instruction: expected a string, found a number"),
        ({"output": "x"}, "has no 'prompt' or 'question'"),
    ],
)
def test_a_row_without_a_prompt_is_refused(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        opened(tmp_path, row).items()


NAMED = {"prompt": "q", "answer": "a"}
NUMBERS = ["12", "1", "0"]
WORDS = ["x", "y", "z"]
LABELLED = {"text": ["x", "y"], "label": ["1", "2"]}


@pytest.mark.parametrize(
    ("keys", "choices", "letters"),
    [
        ([0, 2], NUMBERS, "AC"),  # an index, though a choice's text is the same
        (["0", "12"], NUMBERS, "CA"),  # in quotes a choice's text
        (["0", "2"], WORDS, "AC"),
        (["1", "3"], WORDS, "AC"),
        (["B", "y", "(C)"], WORDS, "BBC"),
        (["2"], LABELLED, "B"),
        ([1], LABELLED, "A"),
        (["A"], LABELLED, "A"),
        (["y"], LABELLED, "B"),
        (["A"], [{"text": "x", "label": "B"}, {"text": "y", "label": "A"}], "B"),
    ],
)
def test_keys_of_named_columns_are_read_as_those_of_known_ones(tmp_path, keys, choices, letters):
    rows = [{"q": f"Which {i}?", "choices": choices, "a": key} for i, key in enumerate(keys)]
    task = opened(tmp_path, *rows, grader="choice", columns=NAMED)
    items = task.all_items
    assert "".join(item.data.answer for item in items) == letters
    assert items[0].messages == [{"role": "user", "content": "Which 0?"}]
    assert items[0].data.options == tuple(f"{one}" for one in (["x", "y"] if len(choices) == 2 else choices))
    for item, letter in zip(items, letters, strict=True):
        verdicts = [task.grade(item, f"The answer is {one}.").verdict for one in "ABC"[: len(choices)]]
        assert [one == letter for one in "ABC"[: len(choices)]] == [one == "accepted" for one in verdicts]


@pytest.mark.parametrize(
    ("key", "choices", "said"),
    [
        ("1", WORDS, "'answer' is '1' in quotes, and no row tells whether such keys count from 0 or 1"),
        (3, WORDS, "'answer' is 3, which names none of the 3 choices"),
        ("w", WORDS, "the reference 'w' names none of the 3 choices"),
        (0, None, "has no 'choices', which the grader needs"),
        (0, "xyz", "'choices' is text; give a list of texts"),
        (0, {"label": ["1"]}, "'choices' is missing; give a list of texts"),
    ],
)
def test_keys_of_named_columns_that_name_nothing_are_refused(tmp_path, key, choices, said):
    with pytest.raises(InputError, match=said):
        opened(tmp_path, {"q": "Which?", "choices": choices, "a": key}, grader="choice", columns=NAMED).items()


def test_names_of_items_with_named_columns(tmp_path):
    row = {"id": 7, "subject": "law", "family": "f", "q": "Which?", "choices": WORDS, "a": 1}
    [item] = opened(tmp_path, row, grader="choice", columns=NAMED).all_items
    assert (item.name, item.family, item.source) == ("7", "f", "law")


@pytest.mark.parametrize("value", [1e-05, "1.5e6", 1e22, "$1{,}000", -2.5])
def test_a_reference_in_any_notation_is_right_itself(tmp_path, value):
    task = opened(tmp_path, {"question": "?", "answer": value}, grader="number")
    assert task.grade(task.all_items[0], f"So it is {value}.").accepted
    assert not task.grade(task.all_items[0], "So it is 5.").accepted
