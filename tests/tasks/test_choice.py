"""Multiple-choice questions in the layouts in which they are published."""

import json

import pytest

from strop.common.errors import InputError
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
