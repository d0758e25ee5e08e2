"""Multiple-choice questions in the layouts in which they are published."""

import json

import pytest

from strop.common.errors import InputError
from strop.tasks import open_task
from strop.tasks.base import TASKS
from strop.tasks.choice import ChoiceItem, load


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def arc(key, labels="ABCD", n=4):
    choices = [{"text": f"option {i}", "label": label} for i, label in enumerate(labels[:n])]
    return {"id": "x", "question": {"stem": "Which?", "choices": choices}, "answerKey": key}


OPTIONS = ["option 0", "option 1", "option 2", "option 3"]


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        (arc("C"), 2),
        (arc("3", "1234"), 2),
        (arc("C", "1234"), 2),  # the key was rewritten to letters, the labels were not
        (arc("3"), 2),
        (arc(1, "1234"), 0),  # a label, not an index, though it lost its quotes
        (arc(4, "1234"), 3),
        (arc(1, "0123"), 1),
        ({"question": "Which?", "choices": {"text": OPTIONS, "label": list("1234")}, "answerKey": 2}, 1),
        ({"question": "Which?", "choices": {"text": OPTIONS, "label": list("ABCD")}, "answerKey": "A"}, 0),
        ({"query": "Which?", "choices": OPTIONS, "gold": 3}, 3),
        ({"question": "Which?", "type": "", "choices": OPTIONS, "answer": 0}, 0),
        ({"question": "Which?", "choices": OPTIONS, "answer": "B"}, 1),
        ({"question": "Which?", **dict(zip("ABCD", OPTIONS, strict=True)), "answer": "D"}, 3),
    ],
)
def test_one_question_in_every_layout(tmp_path, row, answer):
    path = write(tmp_path / "c.jsonl", row)
    assert load(path) == [ChoiceItem("Which?", tuple(OPTIONS), answer, f"{path}:1")]


def test_mmlu_without_a_header(tmp_path):
    path = tmp_path / "global_facts_dev.csv"
    path.write_bytes(b'\xef\xbb\xbf"Which, ""if"" any?",0,1,"0,1","a\nb",C\r\n\r\nSame?,x,x,x,x,A\r\n')
    assert load(path) == [
        ChoiceItem('Which, "if" any?', ("0", "1", "0,1", "a\nb"), 2, f"{path}, row 1", "global_facts"),
        ChoiceItem("Same?", ("x", "x", "x", "x"), 0, f"{path}, row 2", "global_facts"),
    ]


def test_mmlu_with_a_header(tmp_path):
    path = tmp_path / "mmlu.csv"
    path.write_text("question,A,B,C,D,answer\nWhich?,option 0,option 1,option 2,option 3,B\n", encoding="utf-8")
    assert load(path) == [ChoiceItem("Which?", tuple(OPTIONS), 1, f"{path}, row 1")]


def test_prompt_and_subject(tmp_path):
    row = {"question": "Which?", "subject": "law", "choices": ["x", "y"], "answer": 1}
    (item,) = load(write(tmp_path / "c.jsonl", row))
    assert (item.prompt, item.subject, item.name) == ("Which?\nA. x\nB. y", "law", item.place)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (arc("E"), "'answerKey' is 'E', which names none of the 4 choices"),
        (arc("5", "1234"), "'answerKey' is '5', which names none of the 4 choices"),
        (arc("0"), "'answerKey' is '0', which names none"),
        (arc(""), "'answerKey' is '', which names none"),
        ({"query": "Which?", "choices": OPTIONS, "gold": 4}, "'gold' is 4, which names none of the 4 choices"),
        ({"query": "Which?", "choices": OPTIONS, "gold": -1}, "'gold' is -1, which names none"),
        ({"query": "Which?", "choices": OPTIONS, "gold": True}, "'gold' is True, which names none"),
        ({"query": "Which?", "choices": ["x"], "gold": 0}, "1 choices and 1 labels; a question needs two or more"),
        ({"query": "Which?", "choices": "x", "gold": 0}, "'choices' is text; give a list of texts"),
        ({"query": " ", "choices": OPTIONS, "gold": 0}, "'question' is empty"),
        ({"query": "Which?", "choices": [1, 2], "gold": 0}, "'choices[0]' is a number; give it as text"),
        ({"query": "Which?"}, "is no multiple-choice question (it has query)"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, message):
    path = write(tmp_path / "c.jsonl", {"query": "Which?", "choices": OPTIONS, "gold": 0}, row)
    with pytest.raises(InputError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}:2: {message}")


def test_a_bad_line_of_mmlu_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Which?,a,b,c,d,A\nWhich?,a,b,c,A\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 2: 5 cells; expected question, A, B, C, D, answer"):
        load(path)
    path.write_text("Which?,a,b,c,d,A\nWhich?,a,b,c,d,E\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 2: 'answer' is 'E', which names none of the 4 choices"):
        load(path)


def keyed(*keys, field="answer", n=4):
    asked = "query" if field == "gold" else "question"
    return [{asked: f"Which {i}?", "choices": OPTIONS[:n], field: key} for i, key in enumerate(keys)]


@pytest.mark.parametrize(
    ("rows", "answers"),
    [
        (keyed(1, 3), [1, 3]),
        (keyed("1", "0"), [1, 0]),
        (keyed("1", "3", "0"), [1, 3, 0]),
        (keyed("1", "4"), [0, 3]),
        (keyed("1", "2", n=2), [0, 1]),
        (keyed("1", 2), [1, 2]),  # one without quotes counts from 0
        (keyed(2, "1"), [2, 1]),
        (keyed("B", "1", "0"), [1, 1, 0]),
        (keyed("B", "1", "4"), [1, 0, 3]),
        (keyed("1", "0", field="gold"), [1, 0]),
        ([arc("1"), arc("2")], [0, 1]),  # ARC's own, as published
    ],
)
def test_keys_in_quotes_count_from_what_the_whole_file_tells(tmp_path, rows, answers):
    path = write(tmp_path / "c.jsonl", *rows)
    assert [item.answer for item in load(path)] == answers
    asked = open_task("choice", TASKS["choice"].Settings(path=path, count=1)).all_questions
    assert [one.answer for one in asked] == answers[:1]  # also where only the first rows are asked


def test_in_a_csv_all_keys_are_in_quotes(tmp_path):
    path = tmp_path / "mmlu.csv"
    path.write_text("question,A,B,C,D,answer\n" + "".join(f"Q{k}?,a,b,c,d,{k}\n" for k in (1, 3, 0)), encoding="utf-8")
    assert [item.answer for item in load(path)] == [1, 3, 0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (keyed("1", "2"), ":1: 'answer' is '1' in quotes, and no row tells whether such keys count from 0 or 1"),
        (keyed("A", "1", "3"), ":2: 'answer' is '1' in quotes, and no row tells"),
        (
            keyed("1", "0", "4"),
            ":1: 'answer' is a number in quotes, and such keys count from 0 at PATH:2 and from 1 at PATH:3",
        ),
        (
            keyed(1, "4"),
            ":2: 'answer' is a number in quotes, and such keys count from 0 at PATH:1 and from 1 at PATH:2",
        ),
        (keyed("5", "0"), ":1: 'answer' is 5, which names none of the 4 choices"),
    ],
)
def test_keys_that_could_be_either_are_refused(tmp_path, rows, said):
    path = write(tmp_path / "c.jsonl", *rows)
    ways = (
        lambda: load(path),
        lambda: open_task("answers", TASKS["answers"].Settings(path=path, grader="choice")).items(),
    )
    for read in ways:
        with pytest.raises(InputError) as error:
            read()
        assert str(error.value).startswith(f"{path}{said}".replace("PATH", str(path)))


def test_a_reference_that_names_no_choice_is_refused(tmp_path):
    """Every answer would be wrong."""
    path = write(tmp_path / "c.jsonl", {"q": "Which?", "choices": ["x", "y"], "a": "z"})
    settings = TASKS["answers"].Settings(path=path, grader="choice", columns={"prompt": "q", "answer": "a"})
    with pytest.raises(InputError, match="the reference 'z' names none of the 2 choices"):
        open_task("answers", settings).items()
