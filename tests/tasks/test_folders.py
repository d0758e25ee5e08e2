"""Folders as the hub has them: which split a task reads, and what is said of the others."""

import json

import pytest

from strop.common.errors import InputError
from strop.tasks import open_task
from strop.tasks.base import TASKS, TaskSettings


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def opened(name, path, **settings):
    return open_task(name, TASKS[name].Settings(task=name, path=path, **settings))


def mbpp(number):
    tests = [f"assert f{number}({i}) == {i}" for i in range(3)]
    return {"task_id": number, "text": f"Task {number}.", "code": f"def f{number}(x): return x", "test_list": tests}


MBPP = {"prompt": (2, 3, 4), "test": (11, 12), "validation": (511,), "train": (601, 602)}


def hub_mbpp(folder, splits=MBPP):
    for split, numbers in splits.items():
        write(folder / f"{split}-00000-of-00001.jsonl", *map(mbpp, numbers))
    return folder


def test_mbpp_takes_all_splits_of_a_folder_and_its_own_by_number(tmp_path):
    folder = hub_mbpp(tmp_path / "full")
    task = opened("mbpp", folder)
    assert [item.number for item in task.found] == [2, 3, 4, 11, 12, 511, 601, 602]  # as in the one file
    assert task.notes == [f"{folder}: read all of its splits, train, test, validation"]
    task = opened("mbpp", folder, split="test", style="completion")
    assert [item.name for item in task.all_items] == ["MBPP/11", "MBPP/12"]
    assert [item.text.count("[BEGIN]") for item in task.all_items] == [4, 4]  # 2, 3 and 4 before it
    assert "Task 2." in task.all_items[0].text


def test_mbpp_of_which_only_the_test_split_is_there(tmp_path):
    folder = hub_mbpp(tmp_path, {"test": (11, 12)})
    task = opened("mbpp", folder, split="test")
    assert ([item.number for item in task.found], task.notes) == ([11, 12], [])


def test_two_versions_in_one_folder_are_refused(tmp_path):
    """Each problem would count twice."""
    for version in ("full", "sanitized"):
        hub_mbpp(tmp_path / version)
    with pytest.raises(
        InputError, match=r"task_id 2 is there twice, .*full/prompt-.*:1 and .*sanitized/prompt-.*:1; name"
    ):
        opened("mbpp", tmp_path)


HUMANEVAL = {
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "canonical_solution": "    return x\n",
    "test": "def check(candidate):\n    assert candidate(1) == 1\n",
}
PLUS = {**{k: v for k, v in HUMANEVAL.items() if k != "test"}, "base_input": [[1]], "plus_input": [[2]]}


@pytest.mark.parametrize(
    ("name", "row", "number"),
    [
        ("humaneval", HUMANEVAL, "HumanEval/{}"),
        ("humaneval_plus", PLUS, "HumanEval/{}"),
        ("mbpp_plus", PLUS | {"assertion": "assert f(1) == 1"}, "Mbpp/{}"),
    ],
)
def test_functions_are_those_of_the_test_split(tmp_path, name, row, number):
    rows = [row | {"task_id": number.format(i)} for i in range(4)]
    write(tmp_path / "one/data/test-0.jsonl", *rows[:2])
    assert [item.name for item in opened(name, tmp_path / "one").all_items] == [one["task_id"] for one in rows[:2]]
    write(tmp_path / "all/a.jsonl", *rows)
    assert len(opened(name, tmp_path / "all").all_items) == 4
    write(tmp_path / "two/test-0.jsonl", *rows[:2])
    write(tmp_path / "two/train-0.jsonl", *rows[2:])
    task = opened(name, tmp_path / "two")
    assert [item.name for item in task.all_items] == [one["task_id"] for one in rows[:2]]
    assert task.notes == [f"{tmp_path / 'two'}: read its split test (test-0.jsonl); left out train (train-0.jsonl)"]


ANSWER = {"prompt": "?", "answer": "2"}
ASKED = {
    "answers": [ANSWER | {"id": i} for i in "abcd"],
    "text": [{"text": f"text {i}"} for i in "abcd"],
    "gsm8k": [{"question": f"{i}?", "answer": "#### 2"} for i in "abcd"],
    "choice": [{"question": f"{i}?", "choices": ["x", "y"], "answer": 0} for i in "abcd"],
}


def items(task):
    if task.how == "text":
        return [document.text for document in task.all_documents]
    return [item.messages[-1]["content"] for item in (task.all_questions if task.how == "choices" else task.all_items)]


@pytest.mark.parametrize("name", ASKED)
def test_of_several_splits_the_test_split_is_measured_and_said(tmp_path, name):
    rows = ASKED[name]
    write(tmp_path / "train.jsonl", *rows[:3])
    test = write(tmp_path / "test.jsonl", rows[3])
    task = opened(name, tmp_path)
    assert items(task) == items(opened(name, test))
    assert task.notes == [f"{tmp_path}: read its split test (test.jsonl); left out train (train.jsonl)"]


def test_splits_of_a_saved_dataset(tmp_path):
    from datasets import Dataset, DatasetDict

    rows = ASKED["answers"]
    splits = {"train": rows[:3], "test": rows[3:], "prompt": rows[:1]}
    DatasetDict({name: Dataset.from_list(some) for name, some in splits.items()}).save_to_disk(tmp_path)
    task = opened("answers", tmp_path)
    assert [item.name for item in task.all_items] == ["d"]
    assert task.notes == [f"{tmp_path}: read its split test; left out train, prompt"]


@pytest.mark.parametrize("name", ["answers", "text", "humaneval"])
def test_splits_of_which_none_is_test_are_refused(tmp_path, name):
    rows = ASKED.get(name, [HUMANEVAL | {"task_id": i} for i in "abcd"])
    write(tmp_path / "train.jsonl", *rows[:2])
    write(tmp_path / "dev.jsonl", *rows[2:])
    with pytest.raises(InputError, match=r"has the splits validation, train and not test, .* name one file of it"):
        items(opened(name, tmp_path))


@pytest.mark.parametrize("name", ["answers", "math"])
def test_training_reads_the_other_split(tmp_path, name):
    if name == "math":
        pytest.importorskip("math_verify")
    rows = [{"problem": f"{i}?", "answer": "2"} for i in "abcd"]
    write(tmp_path / "train.jsonl", *rows[:3])
    write(tmp_path / "test.jsonl", rows[3])
    task = open_task(name, TaskSettings(task=name, path=tmp_path))
    asked = [[item.messages[-1]["content"][:2] for item in some] for some in (task.all_items, task.train_items(2, 0))]
    assert asked == [["d?"], ["a?", "b?"]]


def question(split, i):
    choices = ["w", "x", "y", "z"]
    return {"question": f"{split} {i}?", "subject": "law", "choices": choices, "answer": 0}


def mmlu(folder, *splits):
    for split in splits:
        write(folder / f"all/{split}-00000-of-00001.jsonl", *(question(split, i) for i in range(3)))
    return folder


def hendrycks(folder, *splits):
    for split in splits:
        path = folder / split / f"law_{split}.csv"
        path.parent.mkdir(parents=True)
        path.write_text("".join(f"{split} {i}?,w,x,y,z,A\n" for i in range(3)), encoding="utf-8")
    return folder


@pytest.mark.parametrize("asked", ["validation", "val"])
@pytest.mark.parametrize(("make", "own"), [(mmlu, "validation"), (hendrycks, "val")])
def test_mmlu_keeps_dev_apart_from_validation(tmp_path, asked, make, own):
    """Examples come from the one, and the other may be measured."""
    folder = make(tmp_path, "dev", own, "test")
    for split, word in ((asked, own), ("test", "test")):
        task = opened("mmlu", folder, split=split, shots=3)
        questions = task.all_questions
        assert [q.text.split("\n\n")[-1].partition("?")[0] for q in questions] == [f"{word} {i}" for i in range(3)]
        assert [q.text.count("dev ") for q in questions] == [3] * 3
        assert [q.text.count(f"{own} ") for q in questions] == [int(word == own)] * 3


@pytest.mark.parametrize(("make", "own"), [(mmlu, "validation"), (hendrycks, "val")])
def test_mmlu_takes_no_examples_from_validation(tmp_path, make, own):
    folder = make(tmp_path, own, "test")
    with pytest.raises(InputError, match="no file is named after the split dev, but after validation"):
        opened("mmlu", folder, shots=1).questions()
    assert len(opened("mmlu", folder, shots=0).questions()) == 3
