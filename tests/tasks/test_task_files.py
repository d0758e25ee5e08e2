"""What a file of tasks is, by its columns, and what is said of files that hold none."""

import gzip
import json

import pytest

from strop.common.errors import InputError
from strop.tasks import load_tasks, open_task, what_tasks
from strop.tasks.base import TaskSettings
from strop.tasks.functions import FunctionTask, ProblemTask

STDIO = {"text": "### Prompt\nAdd.", "tests": {"input": ["1 2\n"], "output": ["3\n"]}}
CONTEST = {"name": "1_A", "description": "Add.", "testcase": ["1 2\n"], "output": ["3\n"], "difficulty": 7}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "canonical_solution": "    return x\n",
    "test": "def check(candidate):\n    assert candidate(1) == 1\n",
}
MBPP = {"text": "Write f.", "code": "def f(x): return x", "task_id": 1, "test_list": ["assert f(1) == 1"]}
ARC = {
    "id": "a",
    "question": {"stem": "Which?", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]},
    "answerKey": "B",
}
GSM8K = {"question": "1 + 1?", "answer": "It is <<1+1=2>>2.\n#### 2"}
TRAIN = "train on it as data: [{path: PATH}] of a stage"
LOSS = f"{TRAIN}, or measure the loss on its answers with evals: {{general_chat: {{path: PATH}}}}"
GRADER = "measure it with evals: {NAME: {task: answers, path: PATH, grader: exact, number, math or choice}}"
LEAVE = "nothing in strop measures or trains on it, so leave it out"


def opened(path, name="mine"):
    return open_task(name, TaskSettings(path=path))


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (STDIO, "problems with tests"),
        (CONTEST, "CodeContests problems with tests"),
        (CONTEST | {"public_tests": {"input": ["1\n"], "output": ["1\n"]}}, "CodeContests problems with tests"),
        (HUMANEVAL, "HumanEval problems"),
        (MBPP, "MBPP problems"),
        ({"prompt": "Write f.", "test_list": ["assert f(1) == 1"], "test_imports": []}, "MBPP problems"),
        (ARC, "multiple-choice questions (ARC's layout)"),
        (
            {"query": "Which?", "choices": ["x", "y"], "gold": 1},
            "multiple-choice questions (query, choices, gold)",
        ),
        (
            {"question": "Which?", "type": "t", "choices": ["x", "y"], "answer": 1},
            "multiple-choice questions (question, choices and the answer's index)",
        ),
    ],
)
def test_what_is_loaded(tmp_path, row, name):
    path = write(tmp_path / "tasks.jsonl", row, row, row)
    assert what_tasks(path).name == name
    found = load_tasks(path, 2)
    assert (found.layout.name, len(found.items)) == (name, 2)
    assert all(item.name and item.prompt for item in found.items)
    task = opened(path)
    if task.how == "choices":
        assert [(q.options, q.answer) for q in task.all_questions] == [((" x", " y"), 1)] * 3
    else:
        assert (task.found if isinstance(task, FunctionTask) else task.records) == load_tasks(path).items


@pytest.mark.parametrize(
    ("row", "what", "mend"),
    [
        ({"question": "1 + 1?", "answer": "2", "grade": 1}, "questions and answers", f"{GRADER}, or {LOSS}"),
        (
            {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hi"}]},
            "conversations",
            LOSS,
        ),
        ({"conversations": [{"from": "human", "value": "hi"}]}, "conversations", LOSS),
        ({"instruction": "Add.", "output": "3"}, "instructions and outputs", LOSS),
        ({"prompt": "hi", "chosen": "a", "rejected": "b"}, "preference pairs", LOSS),
        (
            {"text": "Once upon a time."},
            "plain text",
            TRAIN.replace("}]", ", format: text}]") + ", or measure it with evals: {NAME: {task: text, path: PATH}}",
        ),
        (
            {"data_source": "d", "prompt": [{"role": "user", "content": "hi"}], "reward_model": {"ground_truth": "1"}},
            "prompts with ground truths (verl's layout)",
            GRADER,
        ),
        ({"prompt": "hi", "ground_truth": "1"}, "prompts with ground truths", GRADER),
        ({"prompt": "hi"}, "prompts with neither answers nor anything to judge them by", LEAVE),
        ({"question_id": 81, "category": "c", "turns": ["hi"]}, "MT-Bench questions (for a judge model)", LEAVE),
        (
            {"question_id": 81, "answer_id": "a", "choices": [{"index": 0, "turns": ["hi"]}]},
            "MT-Bench reference answers (for a judge model)",
            LEAVE,
        ),
    ],
)
def test_what_holds_no_problems_is_named_with_what_to_write_instead(tmp_path, row, what, mend):
    path = write(tmp_path / "tasks.jsonl", row)
    with pytest.raises(InputError) as error:
        opened(path)
    assert str(error.value) == f"{path}: holds {what}, and no problems with tests; {mend.replace('PATH', str(path))}."


def test_a_file_of_gsm8k_is_measured_as_such(tmp_path):
    task = opened(write(tmp_path / "tasks.jsonl", GSM8K))
    assert (type(task).__name__, list(task.measures())[:2]) == ("Gsm8k", ["mine_flexible_extract", "mine_strict_match"])


def test_unknown_columns_are_listed(tmp_path):
    path = write(tmp_path / "tasks.jsonl", {"b": 1, "a": 2})
    with pytest.raises(InputError) as error:
        load_tasks(path)
    assert str(error.value) == (
        f"{path}: holds no tasks that are known, but rows of a, b; give problems with tests, HumanEval, MBPP or "
        "CodeContests, or multiple-choice questions."
    )


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        load_tasks(tmp_path / "no.jsonl")
    with pytest.raises(InputError, match="is a folder; name the file of tasks in it"):
        load_tasks(tmp_path)


def test_mmlu_without_a_header(tmp_path):
    path = tmp_path / "anatomy_test.csv"
    path.write_text('"Which, if any?",0,1,"0,1",2,C\n', encoding="utf-8")
    assert what_tasks(path).name == "multiple-choice questions (MMLU's layout)"


def test_an_evaluation_of_humaneval_in_a_file(tmp_path):
    path = tmp_path / "HumanEval.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(HUMANEVAL) + "\n").encode()))
    task = opened(path, "humaneval")
    assert isinstance(task, FunctionTask)
    metric, *_, [item] = *task.measures().values(), task.all_items
    assert (metric.name, metric.bound, item.name) == ("humaneval_pass@1", 0.05, "HumanEval/0")
    answers = ["    return x", "```python\ndef f(x): return -x\n```"]
    assert [one.verdict for one in task.judge([item, item], answers)] == ["accepted", "wrong_answer"]


def test_an_evaluation_of_mbpp_in_a_file(tmp_path):
    task = opened(write(tmp_path / "mbpp.jsonl", MBPP), "mbpp")
    metric, *_, [item] = *task.measures().values(), task.all_items
    assert (metric.name, metric.bound, item.name) == ("mbpp_pass@1", 0.05, "MBPP/1")
    assert task.judge([item], ["```python\nf = abs\n```"])[0].verdict == "accepted"


def test_an_evaluation_of_codecontests_in_a_file(tmp_path):
    slow = CONTEST | {"name": "1_B", "time_limit": {"seconds": 1, "nanos": 0}}
    task = opened(write(tmp_path / "contests.jsonl", CONTEST, slow))
    assert isinstance(task, ProblemTask)
    assert task.all_items[0].messages[0]["content"].endswith("\n\nAdd.")
    loop = "```python\nfor i in range(10 ** 10): pass\n```"
    right = "```python\nprint(sum(map(int, input().split())))\n```"
    judgements = task.judge(task.all_items, [right, loop])
    assert [j.verdict for j in judgements] == ["accepted", "timeout"]
    assert judgements[1].detail == "test 1 of 1: used more than 1 s of CPU time"


@pytest.mark.parametrize("empty", [{"testcase": [], "output": []}, {"testcase": None, "output": None}])
@pytest.mark.parametrize("place", [0, 1])
def test_problems_without_tests_are_left_out_and_said(tmp_path, empty, place):
    """They make the rest of the file no worse."""
    rows = [CONTEST, CONTEST | {"name": "1_C"}]
    rows.insert(place + 1, CONTEST | empty | {"name": "1_B"})
    path = write(tmp_path / "contests.jsonl", *rows)
    task = open_task("mine", TaskSettings(path=path, count=2))
    assert [item.name for item in task.all_items] == ["1_A", "1_C"]
    assert task.notes == [
        f"1 of 3 problems of {path} have no tests, so answers to them cannot be judged, and are left out: 1_B"
    ]
    with pytest.raises(InputError, match=r"problem '1_B' has no tests, .* as `testcase` and `output`"):
        opened(write(tmp_path / "none.jsonl", CONTEST | {"testcase": [], "output": [], "name": "1_B"})).items()


def test_an_evaluation_without_tests_is_refused(tmp_path):
    path = write(tmp_path / "r.jsonl", {"text": "### Prompt\nAdd.", "name": "add"})
    with pytest.raises(InputError, match="problem 'add' has no tests"):
        opened(path).items()
