"""What a row of a file of tasks is, by its columns: problems and questions to measure models by.

Some are for training or for other tools; they are known so that an evaluation can say what a file is meant for.
`strop.chat.purposes` is the other side: what training says of files that are meant for evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

_MEASURE = "measure it with evals: {NAME: {path: FILE}}"
_TRAIN = "train on it as data: [{path: FILE}] of a stage"
_GRADER = "measure it with evals: {NAME: {task: answers, path: FILE, grader: exact, number, math or choice}}"
LOSS = f"{_TRAIN}, or measure the loss on its answers with evals: {{general_chat: {{path: FILE}}}}"


@dataclass(frozen=True)
class TaskLayout:
    """A known layout of task files: a row of it has all ``columns`` (names between spaces), and ``also`` holds."""

    name: str  # for people: what a file of it holds
    columns: str = ""
    also: Callable[[Mapping[str, Any]], bool] = lambda row: True
    measured: bool = False  # an evaluation can name such a file
    use: str = "nothing in strop measures or trains on it, so leave it out"  # what to do with it: ends a sentence
    task: str = ""  # the task that measures it, where that is one of the registry's


def _has(row: Mapping[str, Any], columns: str) -> bool:
    return all(row.get(column) is not None for column in columns.split())


def _has_one(row: Mapping[str, Any], columns: str) -> bool:
    return any(row.get(column) is not None for column in columns.split())


def _has_tests(row: Mapping[str, Any]) -> bool:
    return _has_one(row, "tests public_tests private_tests generated_tests")


def _has_contest_tests(row: Mapping[str, Any]) -> bool:
    return _has(row, "testcase output") or _has_tests(row)


def _is_verl(row: Mapping[str, Any]) -> bool:
    return isinstance(row["prompt"], list) and _has_one(row, "data_source reward_model")


def _is_answered(row: Mapping[str, Any]) -> bool:
    return isinstance(row["answer"], str)


def _is_bare(row: Mapping[str, Any]) -> bool:
    return not _has_one(row, "completion response answer output chosen rejected message_tree_id messages")


_function = partial(TaskLayout, measured=True, use=_MEASURE)
HUMANEVAL_PLUS = _function(
    "HumanEval+ problems",
    "prompt entry_point canonical_solution base_input plus_input",
    lambda row: row.get("assertion") is None,
    task="humaneval_plus",
)
MBPP_PLUS = _function(
    "MBPP+ problems", "prompt entry_point canonical_solution base_input plus_input assertion", task="mbpp_plus"
)
HUMANEVAL = _function("HumanEval problems", "prompt entry_point test", task="humaneval")
MBPP = _function("MBPP problems", "test_list", lambda row: _has_one(row, "text prompt"), task="mbpp")
CODE_CONTESTS = TaskLayout("CodeContests problems with tests", "description", _has_contest_tests, True, _MEASURE)
PROBLEMS = TaskLayout("problems with tests", "text", _has_tests, True, f"{_MEASURE}, or {_TRAIN}")
_choice = partial(TaskLayout, measured=True, use=_MEASURE, task="choice")
GOLD = _choice("multiple-choice questions (query, choices, gold)", "query choices gold")
ARC = _choice("multiple-choice questions (ARC's layout)", "question answerKey")
MMLU = _choice("multiple-choice questions (MMLU's layout)", "question A B C D answer")
CHOICES = _choice("multiple-choice questions (question, choices and the answer's index)", "question choices answer")
TEXT = TaskLayout(
    "plain text",
    use=_TRAIN.replace("FILE", "FILE, format: text") + ", or measure it with evals: {NAME: {task: text, path: FILE}}",
)

CHOICE_LAYOUTS = (GOLD, ARC, MMLU, CHOICES)
_LAYOUTS = (
    HUMANEVAL_PLUS,
    MBPP_PLUS,
    HUMANEVAL,
    MBPP,
    CODE_CONTESTS,
    PROBLEMS,
    *CHOICE_LAYOUTS,
    TaskLayout("IFEval prompts", "prompt instruction_id_list", measured=True, use=_MEASURE, task="ifeval"),
    TaskLayout("MT-Bench reference answers (for a judge model)", "question_id answer_id choices"),
    TaskLayout("MT-Bench questions (for a judge model)", "question_id turns"),
    TaskLayout("prompts with ground truths (verl's layout)", "prompt", _is_verl, use=_GRADER),
    TaskLayout("prompts with ground truths", "prompt ground_truth", use=_GRADER),
    TaskLayout(
        "GSM8K questions and answers",
        "question answer",
        lambda row: _is_answered(row) and "\n#### " in row["answer"],
        measured=True,
        use=_MEASURE,
        task="gsm8k",
    ),
    TaskLayout("MATH problems", "problem solution", measured=True, use=_MEASURE, task="math"),
    TaskLayout("questions and answers", "question answer", _is_answered, use=f"{_GRADER}, or {LOSS}"),
    TaskLayout("prompts and answers", "prompt answer", use=f"{_GRADER}, or {LOSS}"),
    TaskLayout("prompts with neither answers nor anything to judge them by", "prompt", _is_bare),
)
"""In the order in which they are tried."""


def name_tasks(row: Mapping[str, Any]) -> TaskLayout | None:
    """The layout that a row is of, going by its columns; None when it is none of tasks."""
    return next((one for one in _LAYOUTS if _has(row, one.columns) and one.also(row)), None)
