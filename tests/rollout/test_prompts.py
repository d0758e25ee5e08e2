"""Prompts with their ground truth, from files and tasks."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from strop.common.errors import InputError
from strop.data.mixture import Mixture
from strop.data.readers import rows_of_part
from strop.data.settings import DataSettings
from strop.rollout.prompts import read_prompts
from strop.rollout.selection import Selection, Tally
from strop.rollout.settings import PromptField
from strop.rollout.trajectory import Trajectory
from strop.tasks import open_task
from strop.tasks.base import TaskSettings, named_sets
from strop.tasks.code_basics import family_names
from strop.tasks.gsm8k import Gsm8kSettings


class Encoder:
    """The prompt's characters for ids."""

    def __init__(self):
        self.tokenizer = self

    def decode(self, ids, **_):
        return "".join(map(chr, ids))

    def prompt(self, messages, tools=()):
        self.tools = tools
        return [ord(c) for turn in messages for c in turn["role"][0] + turn["content"]]


def read(data):
    return read_prompts(TypeAdapter(PromptField).validate_python(data), Encoder())


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("row", "columns", "messages", "truth"),
    [
        ({"prompt": "hi", "answer": "a"}, {}, [USER], "a"),
        ({"question": "hi", "solution": 3}, {}, [USER], 3),
        ({"prompt": [USER], "reward_model": {"ground_truth": "b"}}, {}, [USER], "b"),
        ({"messages": [USER, {"role": "assistant", "content": "yes"}], "target": "c"}, {}, [USER], "c"),
        ({"x": "hi", "y": {"z": "d"}, "answer": "not this"}, {"prompt": "x", "truth": "y.z"}, [USER], "d"),
        ({"prompt": "hi"}, {}, [USER], None),
    ],
)
def test_rows_are_read_by_usual_names_or_those_given(tmp_path, row, columns, messages, truth):
    [[one]] = read({"path": write(tmp_path / "rows.jsonl", row), **columns})
    assert (one.messages, one.truth, one.task) == (messages, truth, None)
    assert one.ids == tuple(map(ord, "uhi"))
    assert one.row == row
    assert one.name.endswith("rows.jsonl:1")


SYSTEM = {"role": "system", "content": "Be terse."}


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"prompt": "Add.", "input": "1 2"}, [{"role": "user", "content": "Add.\n\n1 2"}]),
        ({"prompt": "Add 1 2.", "input": "1 2"}, [{"role": "user", "content": "Add 1 2."}]),
        ({"instruction": "Add.", "input": "1 2"}, [{"role": "user", "content": "Add.\n\n1 2"}]),
        ({"instruction": "hi", "input": " "}, [USER]),
        ({"question": "Who?", "context": "Ann came."}, [{"role": "user", "content": "Ann came.\n\nWho?"}]),
        ({"prompt": "hi", "system": "Be terse."}, [SYSTEM, USER]),
        ({"prompt": [USER], "system_prompt": "Be terse."}, [SYSTEM, USER]),
        ({"prompt": [SYSTEM, USER], "system": "Be terse."}, [SYSTEM, USER]),
        ({"prompt": json.dumps([SYSTEM, USER])}, [SYSTEM, USER]),
        ({"prompt": "hi", "history": [["a", "b"]]},
         [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, USER]),
    ],
)  # fmt: skip
def test_what_belongs_to_a_prompt_is_asked_with_it(tmp_path, row, messages):
    [[one]] = read({"path": write(tmp_path / "rows.jsonl", row | {"answer": "a"})})
    assert one.messages == messages


def test_a_column_that_is_named_stands_alone(tmp_path):
    row = {"problem": "hi", "input": "1 2\n", "system": "Be terse.", "answer": "a"}
    [[one]] = read({"path": write(tmp_path / "rows.jsonl", row), "prompt": "problem"})
    assert one.messages == [USER]


def test_a_text_in_place_of_turns_is_asked_where_its_column_is_named_alone(tmp_path):
    path = write(tmp_path / "rows.jsonl", {"messages": "hi", "answer": "a"})
    with pytest.raises(InputError, match=r"rows.jsonl:1: field messages: expected a list of turns, found a string"):
        read({"path": path})
    [[one]] = read({"path": path, "prompt": "messages"})
    assert one.messages == [USER]


def test_a_system_prompt_that_contradicts_the_conversation_is_refused(tmp_path):
    file = write(tmp_path / "rows.jsonl", {"prompt": [SYSTEM, USER], "system": "Be long.", "answer": "a"})
    with pytest.raises(InputError, match=r"rows.jsonl:1: field system: differs from the system message"):
        read({"path": file})


def test_tools_of_a_row_are_shown_to_the_model(tmp_path):
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    encoder, file = Encoder(), write(tmp_path / "rows.jsonl", {"prompt": "hi", "tools": [tool], "answer": "a"})
    [[one]] = read_prompts(TypeAdapter(PromptField).validate_python({"path": file}), encoder)
    assert one.tools == encoder.tools == (tool,)
    answer = Trajectory(one.name, 0, 0, (1, 2), (0.0, 1.0), (0.0,) * 2, "stop", "yes", 1.0)
    [row] = Selection("all").rows(one, [answer], Tally())
    assert row["tools"] == [tool]


def test_problems_with_tests_are_graded_by_them(tmp_path):
    text = "### Prompt\n\nAdd.\n\n### Response\n\n"
    file = write(tmp_path / "mine.jsonl", {"text": text, "tests": {"input": ["1 2\n"], "output": ["3\n"]}})
    [[one]] = read([file])
    assert one.task.runs_programs
    answer = "```python\nprint(sum(map(int, input().split())))\n```"
    assert [j.verdict for j in one.task.judge([one.item, one.item], [answer, "no"])] == ["accepted", "no_code"]


@pytest.mark.parametrize("name", ["reverse", "code_basics", "spelling_bee", "simple_spelling"])
def test_what_a_task_trains_on_is_nothing_that_it_measures(name):
    [prompts] = read({"task": name, "count": 120, "seed": 5})
    task = open_task(name, TaskSettings(count=100))
    assert len(prompts) == 120
    assert not {one.item.name for one in prompts} & {item.name for item in task.all_items}
    assert not {str(one.messages) for one in prompts} & {str(item.messages) for item in task.all_items}
    if name == "code_basics":
        assert {one.item.family for one in prompts} <= set(family_names("train"))


def test_a_task_that_reads_a_file_trains_on_it_with_its_own_prompt_and_grader(tmp_path):
    """As an rl stage and an sft stage read it: the same problems, and the question that is measured."""
    file = write(
        tmp_path / "train.jsonl",
        *({"question": f"{i} + 1?", "answer": f"<<x>>{i + 1}\n#### {i + 1}"} for i in range(9)),
    )
    part = {"task": "gsm8k", "path": file, "count": 4, "seed": 1}
    [prompts] = read(part)
    rows = list(rows_of_part(DataSettings(**part), named_sets()))
    assert [one.messages[0]["content"] for one in prompts] == [row["prompt"] for _, row in rows]
    assert len({one.name for one in prompts}) == 4
    measured = {item.shown: item for item in open_task("gsm8k", Gsm8kSettings(path=file)).all_items}
    for one, (_, row) in zip(prompts, rows, strict=True):
        assert measured[row["prompt"]].data == one.item.data
        assert row["completion"] == one.item.data.removeprefix("<<x>>")
        assert one.task.grade(one.item, row["completion"]).accepted
        assert not one.task.grade(one.item, "#### 99").accepted
    assert [one.name for one in read({**part, "seed": 2})[0]] != [one.name for one in prompts]
    with pytest.raises(InputError, match="reverse reads no file"):
        read({"task": "reverse", "path": file})
    with pytest.raises(InputError, match="code_basics is drawn and reads no file"):
        list(rows_of_part(DataSettings(task="code_basics", path=file), named_sets()))


def test_reverse_grades_by_letters_in_their_place():
    task = open_task("reverse", TaskSettings())
    item = next(item for item in task.all_items if len(set(item.data)) == 4)
    wrong = item.data[:3] + "z"
    grades = [task.grade(item, a) for a in (item.data, wrong, item.data + "a", "", item.messages[0]["content"])]
    assert [g.accepted for g in grades] == [True, False, False, False, False]
    assert [(g.passed, g.total) for g in grades[:4]] == [(4, 4), (3, 4), (3, 4), (0, 4)]


def test_parts_are_mixed_by_weight_and_the_order_is_the_seeds(tmp_path):
    files = [write(tmp_path / f"{n}.jsonl", *({"prompt": f"{n}{i}", "answer": "x"} for i in range(9))) for n in "ab"]
    parts = [{"path": files[0], "weight": 3}, {"path": files[1]}]
    settings = TypeAdapter(PromptField).validate_python({"mix": "weights", "parts": parts, "total": 8})
    mixture = Mixture(read_prompts(settings, Encoder()), settings, seed=1)
    names = [mixture[i].messages[0]["content"][0] for i in mixture.order(0)]
    assert sorted(names) == ["a"] * 6 + ["b"] * 2
    other = Mixture(read_prompts(settings, Encoder()), settings, seed=1)
    assert (other.order(3) == mixture.order(3)).all()
    assert other.fingerprint == mixture.fingerprint


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"task": "reverse", "truth": "answer"}, "a task has neither"),
        ({"path": "a", "hub": "b"}, "give either"),
        ({"hub": "a", "task": "b"}, "give either"),
        ({"parts": [{"path": "a", "weight": 2}]}, "counts only under mix: weights"),
    ],
)
def test_settings_that_make_no_sense_are_refused(data, words):
    with pytest.raises(ValidationError, match=words):
        TypeAdapter(PromptField).validate_python(data)


def test_a_prompt_says_what_reasoning_its_end_opened(tmp_path):
    path = write(
        tmp_path / "rows.jsonl", {"prompt": "hi<think>\n", "answer": "1"}, {"prompt": "<think>?", "answer": "1"}
    )
    assert [one.opened for one in read({"path": path})[0]] == ["<think>", ""]
