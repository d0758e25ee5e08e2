"""Files that are not for training: tasks' files and bare prompts, known by their columns, each with what it is for."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from strop.chat.pairs import COMPARED
from strop.chat.turns import is_tree_message


class Purpose(NamedTuple):
    """A kind of file: its ``name``, what it ``holds`` (it is a file of that), and what that is for."""

    name: str
    fits: Callable[[Mapping[str, Any]], bool]
    holds: str
    mend: str


def _columns(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: all(name in row for name in names)


def _choices(row: Mapping[str, Any]) -> bool:
    """A question with a list of choices and which of them is right, in one of the usual layouts."""
    if not any(name in row for name in ("question", "query", "input")):
        return False
    listed = isinstance(row.get("choices"), list | tuple | Mapping)
    return listed and any(name in row for name in ("answer", "gold", "answerKey", "label"))


def _arc(row: Mapping[str, Any]) -> bool:
    return "answerKey" in row and isinstance(row.get("question"), Mapping)


def _mmlu(row: Mapping[str, Any]) -> bool:
    """MMLU's own files have no header, so the first question became the names of the columns."""
    names, values = list(row), list(row.values())
    letters = ("A", "B", "C", "D")
    return len(names) == 6 and str(names[5])[:1] in letters and len(str(names[5])) <= 4 and values[5] in letters


def _turns(row: Mapping[str, Any]) -> bool:
    turns = row.get("turns")
    return isinstance(turns, list | tuple) and bool(turns) and all(isinstance(turn, str) for turn in turns)


def _code_contests(row: Mapping[str, Any]) -> bool:
    return "description" in row and any(name in row for name in ("testcase", "public_tests", "private_tests"))


def _roll(row: Mapping[str, Any]) -> bool:
    named = all(name in row for name in ("prompt", "messages", "ground_truth"))
    return named and not re.search(r"[\"']role[\"']: [\"']assistant", str(row["messages"]))


def _bare_prompt(row: Mapping[str, Any]) -> bool:
    prompt = row.get("prompt")
    answers = ("completion", "response", "answer", "output", "messages", "conversations")
    if isinstance(prompt, list | tuple) and any(
        isinstance(turn, Mapping) and turn.get("role") == "assistant" for turn in prompt
    ):
        return False
    other = ("instruction", "text", "conversation", "reward_model")
    pairs = tuple(name for pair in COMPARED if pair[0] == "chosen" or all(one in row for one in pair) for name in pair)
    named = answers + other + pairs
    return isinstance(prompt, str | list | tuple) and not any(row.get(name) is not None for name in named)


_EVALS = "they are measured with evals: {NAME: {path: FILE}}, not trained on"
_CHOICE = (
    "they are measured with evals: {NAME: {task: choice, path: FILE}}; to train on question and right letter, set "
    "data: [{task: choice, path: FILE}]"
)
_RL = "they are for reinforcement learning, and sft needs answers"


def _solutions(prompt: str, code: str) -> str:
    return f"{_EVALS}; to train on their solutions all the same, set columns: {{prompt: {prompt}, completion: {code}}}"


def _mbpp(row: Mapping[str, Any]) -> bool:
    return "code" in row and "test_list" in row and ("text" in row or "prompt" in row)


PURPOSES = (
    Purpose("mbpp", _mbpp, "MBPP's problems with tests", _solutions("text", "code")),
    Purpose(
        "humaneval",
        _columns("prompt", "canonical_solution", "test"),
        "HumanEval's problems with tests",
        _solutions("prompt", "canonical_solution"),
    ),
    Purpose("code_contests", _code_contests, "CodeContests' problems with tests", _EVALS),
    Purpose("arc", _arc, "ARC's multiple-choice questions", _CHOICE),
    Purpose("choices", _choices, "multiple-choice questions", _CHOICE),
    Purpose(
        "mmlu",
        _mmlu,
        "MMLU's multiple-choice questions (without a header, so that its first question was taken for one)",
        _CHOICE,
    ),
    Purpose(
        "ifeval",
        _columns("prompt", "instruction_id_list"),
        "IFEval's prompts with the instructions to be checked",
        "they are answered and checked in an evaluation of their own, and hold no answer to train on",
    ),
    Purpose(
        "mt_bench_answers",
        _columns("question_id", "answer_id", "choices"),
        "answers to MT-Bench's questions",
        "a judge compares others' answers with them, and the questions are in another file",
    ),
    Purpose(
        "mt_bench",
        lambda row: "question_id" in row and _turns(row),
        "MT-Bench's questions",
        "they are answered and judged in an evaluation of their own, and hold no answer to train on",
    ),
    Purpose(
        "roll",
        _roll,
        "ROLL's prompts with results",
        f"{_RL}; to train on the bare results, set columns: {{prompt: prompt, completion: ground_truth}}",
    ),
    Purpose(
        "tree_messages",
        is_tree_message,
        "messages of trees, one in a row (OpenAssistant's)",
        "they are joined where the whole file is read, so give that as path or hub",
    ),
    Purpose("prompts", _bare_prompt, "prompts without answers", _RL),
)


def purpose_of(row: Mapping[str, Any]) -> Purpose | None:
    """What the row is for, where that is not training; None for all else."""
    return next((purpose for purpose in PURPOSES if purpose.fits(row)), None)
