"""What a row of a file of tasks is, by its columns: problems and questions to measure models by.

Some are for training or for other tools; they are known so that an evaluation can say what a file is meant for.
`strop.chat.purposes` is the other side: what training says of files that are meant for evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TaskLayout:
    """A known layout of task files."""

    key: str
    name: str  # for people: what a file of it holds
    measured: bool = False  # an evaluation can name such a file: evals: {NAME: {path: FILE}}
    trained: bool = False  # training reads such rows as conversations
    format: str = "auto"  # which training must be told

    @property
    def use(self) -> str:
        """What to do with such a file, for the end of a sentence."""
        measure = "measure it with evals: {NAME: {path: FILE}}"
        how = "" if self.format == "auto" else f", format: {self.format}"
        train = f"train on it as data: [{{path: FILE{how}}}] of a stage"
        if self.measured:
            return f"{measure}, or {train}" if self.trained else measure
        if self.format == "text":
            return train
        if self.trained:
            return f"{train}, or measure the loss on its answers with evals: {{general_chat: {{path: FILE}}}}"
        return "nothing in strop measures or trains on it, so leave it out"


PROBLEMS = TaskLayout("problems", "problems with tests", measured=True, trained=True)
CODE_CONTESTS = TaskLayout("code_contests", "CodeContests problems with tests", measured=True)
HUMANEVAL = TaskLayout("humaneval", "HumanEval problems", measured=True)
MBPP = TaskLayout("mbpp", "MBPP problems", measured=True)
ARC = TaskLayout("arc", "multiple-choice questions (ARC's layout)")
MMLU = TaskLayout("mmlu", "multiple-choice questions (MMLU's layout)")
CHOICES = TaskLayout("choices", "multiple-choice questions (question, choices and the answer's index)")
GOLD = TaskLayout("gold", "multiple-choice questions (query, choices, gold)")
IFEVAL = TaskLayout("ifeval", "IFEval prompts (for its own checkers)")
MT_BENCH = TaskLayout("mt_bench", "MT-Bench questions (for a judge model)")
MT_BENCH_ANSWERS = TaskLayout("mt_bench_answers", "MT-Bench reference answers (for a judge model)")
GSM8K = TaskLayout("gsm8k", "GSM8K questions and answers", trained=True)
QUESTIONS = TaskLayout("questions", "questions and answers", trained=True)
VERL = TaskLayout("verl", "prompts with ground truths (verl's layout, for reinforcement learning)", trained=True)
TRUTHS = TaskLayout("truths", "prompts with ground truths (for reinforcement learning)")
PROMPTS = TaskLayout("prompts", "prompts with neither answers nor anything to judge them by")

_ANSWERS = ("completion", "response", "answer", "output", "chosen", "rejected", "message_tree_id", "messages")
TEXT = TaskLayout("text", "plain text", trained=True, format="text")

CHOICE_LAYOUTS = (ARC, MMLU, CHOICES, GOLD)


def name_tasks(row: Mapping[str, Any]) -> TaskLayout | None:
    """The layout that a row is of, going by its columns; None when it is none of tasks."""

    def has(*columns: str) -> bool:
        return all(row.get(column) is not None for column in columns)

    if has("prompt", "entry_point", "test"):
        return HUMANEVAL
    if has("test_list") and (has("text") or has("prompt")):
        return MBPP
    if has("description") and (has("testcase", "output") or _has_tests(row)):
        return CODE_CONTESTS
    if has("text") and _has_tests(row):
        return PROBLEMS
    if has("query", "choices", "gold"):
        return GOLD
    if has("question", "answerKey"):
        return ARC
    if has("question", "A", "B", "C", "D", "answer"):
        return MMLU
    if has("question", "choices", "answer"):
        return CHOICES
    if has("prompt", "instruction_id_list"):
        return IFEVAL
    if has("question_id", "answer_id", "choices"):
        return MT_BENCH_ANSWERS
    if has("question_id", "turns"):
        return MT_BENCH
    if has("prompt") and isinstance(row["prompt"], list) and (has("data_source") or has("reward_model")):
        return VERL
    if has("prompt", "ground_truth"):
        return TRUTHS
    if has("question", "answer") and isinstance(row["answer"], str):
        return GSM8K if "\n#### " in row["answer"] else QUESTIONS
    if has("prompt") and not any(has(column) for column in _ANSWERS):
        return PROMPTS
    return None


def _has_tests(row: Mapping[str, Any]) -> bool:
    return any(row.get(f"{kind}tests") is not None for kind in ("", "public_", "private_", "generated_"))
