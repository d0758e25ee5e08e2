"""Problems with stdin -> stdout tests: a file of records, or CodeContests' own."""

from __future__ import annotations

from strop.common.errors import InputError
from strop.rewards import Judgement, extract_program, judge_program
from strop.tasks.base import AnswerTask, Item, TaskSettings
from strop.tasks.metrics import PROGRAM_METRICS
from strop.tasks.records import Record


class ProblemTask(AnswerTask):
    """Programs that are judged by what they print."""

    metrics = PROGRAM_METRICS
    runs_programs = True

    def __init__(self, name: str, settings: TaskSettings, records: list[Record]):
        super().__init__(name, settings)
        self.records = records

    def items(self) -> list[Item]:
        for record in self.records:
            if not record.tests:
                raise InputError(
                    f"problem {record.name!r} has no tests, so answers to it cannot be judged; add `tests`."
                )
        # A problem that names no family is one by itself: all of them together would be one, of which nothing is known.
        return [Item(r.name, r.family or r.name, r.messages()[:1], r, r.source) for r in self.records]

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        return judge_program(extract_program(answer), item.data.tests, item.data.limits)

    @classmethod
    def tests(cls, item: Item) -> int:
        return len(item.data.tests)
