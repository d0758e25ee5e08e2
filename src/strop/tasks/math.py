"""Competition mathematics with answers in LaTeX (MATH, Hendrycks et al. 2021, arXiv:2103.03874), by math-verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic import Field

from strop.common.errors import InputError
from strop.data.rows import Say, silent
from strop.rewards import Judgement
from strop.rewards.boxed import boxed, boxes, last_boxes, whole_boxes, with_result_alone_boxed
from strop.rewards.code import Verdict
from strop.rewards.math import MathVerdict, math_verdicts, require_math_verify
from strop.rewards.reasoning import without_reasoning
from strop.tasks.base import AnswerTask, Item, TaskSettings, register
from strop.tasks.fields import check_text
from strop.tasks.metrics import NO_ANSWER, accuracy, part
from strop.tasks.prompts import PromptedAnswers, Shots, field_of, prompt, task_rows

HUB = "HuggingFaceH4/MATH-500"
INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."


class MathSettings(PromptedAnswers):
    max_tokens: int = Field(1024, ge=1, description="Longest answer, in tokens.")
    split: str = Field("test", description="Of the hub's data, or of a folder.")


@register("math")
class Math(AnswerTask):
    """Problems whose answer is an expression."""

    Settings = MathSettings
    settings: MathSettings
    reads_path = True
    hub = HUB
    source = f"{HUB} (hub), or path: a file of problem and answer, or of problem and solution with its \\boxed{{}}"
    licence = "MIT"
    metrics = (
        accuracy("problems whose answer equals the reference, by math-verify", lead=0, bound=0.05, by_source=True),
        part("format_rate", "answers with a \\boxed{}"),
        NO_ANSWER,
    )

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings)
        require_math_verify()
        self.stop = ("Problem:",) if self.settings.style == "completion" else ()

    def items(self) -> list[Item]:
        return self._items(self.settings.split)

    def _items(self, split: str) -> list[Item]:
        settings = self.settings
        said: list[str] = []
        own = self._rows(settings.path, split, settings.count, said.append)
        pool = self._rows(settings.shots_path, "train", 2 * settings.shots) if settings.shots_path else []
        shots = Shots([(self._ask(p), boxed(a)) for p, a, _ in pool], settings.shots, f"evals.{self.name}")
        made = []
        for index, (problem, answer, about) in enumerate(own):
            asked, name = self._ask(problem), f"{self.name}/{index}"
            put = prompt(settings.style, shots.before(asked), asked)
            made.append(Item(name, name, data=answer, source=about, **put))
        self.notes = [*said, *shots.notes()]
        return made

    def _ask(self, problem: str) -> str:
        return f"Problem: {problem}\nAnswer:" if self.settings.style == "completion" else f"{problem}\n\n{INSTRUCTION}"

    def _rows(self, path, split: str, count: int | None, say: Say = silent) -> list[tuple[str, str, str]]:
        return [problem_of(row, place) for place, row in islice(task_rows(path, HUB, None, split, say=say), count)]

    judges_itself = True

    def train_items(self, count: int | None, seed: int) -> list[Item]:
        """Of the file that was given: another one than what is measured, or of a folder's training split."""
        return super().train_items(count, seed) if self.settings.path is None else self._items("train")[:count]

    def judge(self, items: Sequence[Item], answers: Sequence[str]) -> list[Judgement]:
        verdicts = math_verdicts([(item.data, answer) for item, answer in zip(items, answers, strict=True)])
        return list(map(judgement, verdicts, answers))

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        return judgement(math_verdicts([(item.data, answer)])[0], answer)

    @classmethod
    def finished_part(cls, answer: str) -> str:
        """Up to the last ``\\boxed{}`` that is closed; nothing without one."""
        found = whole_boxes(answer)
        return answer[: found[-1].end] if found else ""


_VERDICTS: dict[str, Verdict] = {"equal": "accepted", "different": "wrong_answer", "fault": "judge_fault"}


def judgement(verdict: MathVerdict, answer: str) -> Judgement:
    """What strop calls a verdict of math-verify's."""
    name = _VERDICTS.get(verdict.kind, "no_answer")
    parts = {"format_rate": float(bool(boxes(without_reasoning(answer))))}
    return Judgement(name, int(name == "accepted"), 1, verdict.detail, parts=parts)


def problem_of(row: Mapping[str, Any], place: str) -> tuple[str, str, str]:
    """Problem, reference and subject of a row; the reference has boxes itself where several say the result together.

    Raises InputError where there is no reference.
    """
    problem = check_text(field_of(row, place, ("problem", "question"), "the problem"), "problem", place, empty=False)
    answer = row.get("answer")
    if answer is None:
        solution = check_text(field_of(row, place, ("solution",), "the reference"), "solution", place)
        contents = {box.content.strip() for box in last_boxes(solution)}
        answer = with_result_alone_boxed(solution) if len(contents) > 1 else "".join(contents)
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    if not isinstance(answer, str) or not answer.strip():
        raise InputError(f"{place}: there is no reference answer, neither 'answer' nor a \\boxed{{}} in 'solution'.")
    return problem, answer, str(row.get("subject") or row.get("type") or "")
