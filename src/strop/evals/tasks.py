"""The tasks that an evaluation can name, and how each is generated for and graded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from strop.errors import InputError
from strop.evals.results import CODE_METRICS, PASS_AT_1, Value
from strop.rewards import Judgement, judge_answers, map_in_workers
from strop.tasks import humaneval
from strop.tasks.code_basics import generate
from strop.tasks.records import Record, load_records


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
        self.items = [Item(r.name, r.family, r.messages()[:1], r, r.source) for r in records]

    def judge(self, answers: Sequence[str]) -> list[Judgement]:
        return judge_answers([(a, i.data.tests) for a, i in zip(answers, self.items, strict=True)])


class HumanEvalTask:
    """HumanEval (Chen et al. 2021, arXiv:2107.03374), all 164 items, pass@1 of one answer each."""

    metrics = PASS_AT_1
    prefix = "humaneval_"

    def __init__(self, count: int | None = None):
        self.items = [Item(i.task_id, i.task_id, i.messages, i) for i in humaneval.load()[:count]]

    def judge(self, answers: Sequence[str]) -> list[Judgement]:
        return map_in_workers(_grade, [(i.data, a) for i, a in zip(self.items, answers, strict=True)])


def _grade(pair: tuple[humaneval.HumanEvalItem, str]) -> Judgement:
    return humaneval.grade(*pair)


def code_basics_task(count: int, seed: int) -> RecordTask:
    """``count`` problems of the held-out families."""
    return RecordTask(generate("test", count, seed))


def file_task(path: Path, limit: int | None, prefix: str) -> RecordTask:
    """A user's own file of problems."""
    return RecordTask(load_records(path)[:limit], prefix)
