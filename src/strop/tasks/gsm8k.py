"""GSM8K: grade-school word problems with whole-number answers (Cobbe et al. 2021, arXiv:2110.14168).

As a chat, each problem is asked with a sentence that says how to end. As ``style: completion``, five worked examples
(the first of the training split) come before it, and prompt and stop strings are those of lm-evaluation-harness's
``gsm8k``. ``strict_match`` looks at what follows ``####`` alone, ``flexible_extract`` at the last number; answers that
were cut off count only where the ``####`` line is whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from pydantic import Field, model_validator

from strop.common.errors import InputError
from strop.data.readers import FileSet, NamedSet
from strop.data.rows import Row, Say, silent
from strop.rewards import Judgement
from strop.rewards.numbers import finished_number, flexible_number, number, strict_number
from strop.tasks.base import AnswerTask, Item, TaskSettings, register
from strop.tasks.fields import check_text
from strop.tasks.metrics import NO_ANSWER, TASK, part
from strop.tasks.prompts import PromptedAnswers, Shots, prompt, task_rows

HUB, SUBSET = "openai/gsm8k", "main"
INSTRUCTION = 'Let\'s think step by step and output the final answer after "####".'
EXAMPLES = (
    (
        "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips "
        "did Natalia sell altogether in April and May?",
        "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = <<48+24=72>>72 clips altogether in "
        "April and May.\n#### 72",
    ),
    (
        "Weng earns $12 an hour for babysitting. Yesterday, she just did 50 minutes of babysitting. How much did she "
        "earn?",
        "Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.\nWorking 50 minutes, she earned 0.2 x 50 = "
        "$<<0.2*50=10>>10.\n#### 10",
    ),
    (
        "Betty is saving money for a new wallet which costs $100. Betty has only half of the money she needs. Her "
        "parents decided to give her $15 for that purpose, and her grandparents twice as much as her parents. How much "
        "more money does Betty need to buy the wallet?",
        "In the beginning, Betty has only 100 / 2 = $<<100/2=50>>50.\nBetty's grandparents gave her 15 * 2 = "
        "$<<15*2=30>>30.\nThis means, Betty needs 100 - 50 - 30 - 15 = $<<100-50-30-15=5>>5 more.\n#### 5",
    ),
    (
        "Julie is reading a 120-page book. Yesterday, she was able to read 12 pages and today, she read twice as many "
        "pages as yesterday. If she wants to read half of the remaining pages tomorrow, how many pages should "
        "she read?",
        "Maila read 12 x 2 = <<12*2=24>>24 pages today.\nSo she was able to read a total of 12 + 24 = <<12+24=36>>36 "
        "pages since yesterday.\nThere are 120 - 36 = <<120-36=84>>84 pages left to be read.\nSince she wants to read "
        "half of the remaining pages tomorrow, then she should read 84/2 = <<84/2=42>>42 pages.\n#### 42",
    ),
    (
        "James writes a 3-page letter to 2 different friends twice a week.  How many pages does he write a year?",
        "He writes each friend 3*2=<<3*2=6>>6 pages a week\nSo he writes 6*2=<<6*2=12>>12 pages every week\nThat means "
        "he writes 12*52=<<12*52=624>>624 pages a year\n#### 624",
    ),
)
"""The first five of the training split (MIT, openai/grade-school-math)."""


class Gsm8kSettings(PromptedAnswers):
    max_tokens: int = Field(512, ge=1, description="Longest answer, in tokens.")
    split: str = Field("test", description="Of the hub's data, or of a folder: test or train.")

    @model_validator(mode="after")
    def _five_shots(self) -> Gsm8kSettings:
        if self.style == "completion" and "shots" not in self.model_fields_set:
            self.shots = len(EXAMPLES)
        return self


@register("gsm8k")
class Gsm8k(AnswerTask):
    """Word problems whose answer is a number."""

    Settings = Gsm8kSettings
    settings: Gsm8kSettings
    reads_path = True
    hub = HUB
    source = f"{HUB} (hub), or path: a .jsonl of question and answer (Cobbe et al. 2021, arXiv:2110.14168)"
    licence = "MIT"
    metrics = (
        part("flexible_extract", "problems whose answer's last number is right", TASK, lead=0, bound=0.05),
        part("strict_match", "problems whose number after #### is right", TASK, lead=1),
        part("format_rate", "answers with a number after ####"),
        NO_ANSWER,
    )

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings)
        self.stop = ("Question:", "</s>", "<|im_end|>") if self.settings.style == "completion" else ()

    def items(self) -> list[Item]:
        settings = self.settings
        said: list[str] = []
        own = self._pairs(settings.path, settings.split, settings.count, said.append)
        pool: Sequence[tuple[str, str]] = EXAMPLES
        if settings.shots_path is not None:
            pool = self._pairs(settings.shots_path, "train", 2 * settings.shots)  # the question may be among them
        shots = Shots([(self._ask(q), a) for q, a in pool], settings.shots, f"evals.{self.name}")
        made = []
        for index, (question, answer) in enumerate(own):
            asked, name = self._ask(question), f"gsm8k/{index}"
            made.append(Item(name, name, data=answer, **prompt(settings.style, shots.before(asked), asked)))
        self.notes = [*said, *shots.notes()]
        return made

    def train_items(self, count: int | None, seed: int) -> list[Item]:
        """Of the training split: of the hub, or of the file or folder in ``path``; in an order drawn by the seed."""
        made = []
        for place, question, answer in drawn(self.settings.path, count, seed):
            made.append(Item(place, place, [{"role": "user", "content": f"{question} {INSTRUCTION}"}], answer))
        return made

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        def rows(path: Path | None, count: int | None, seed: int) -> list[Row]:
            return [
                (place, {"prompt": f"{question} {INSTRUCTION}", "completion": _plain(answer)})
                for place, question, answer in drawn(path, count, seed)
            ]

        return {"gsm8k": FileSet(rows, HUB)}

    def _ask(self, question: str) -> str:
        if self.settings.style == "completion":
            return f"Question: {question}\nAnswer:"
        return f"{question} {INSTRUCTION}"

    def _pairs(self, path, split: str, count: int | None, say: Say = silent) -> list[tuple[str, str]]:
        rows = task_rows(path, HUB, SUBSET, split, say=say)
        return [pair(row, place) for place, row in islice(rows, count)]

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        """Accepted by ``flexible_extract``. An answer without a number is ``no_answer``."""
        right = number(item.data.rpartition("####")[2])
        strict, flexible = strict_number(answer), flexible_number(answer)
        parts = {
            "strict_match": float(strict == right),
            "flexible_extract": float(flexible == right),
            "format_rate": float(strict is not None),
        }
        if flexible is None:
            return Judgement("no_answer", 0, 1, "the answer holds no number", parts=parts)
        said = f"the last number is {flexible}, expected {right}"
        if flexible == right:
            return Judgement("accepted", 1, 1, parts=parts)
        return Judgement("wrong_answer", 0, 1, said, parts=parts)

    finished_part = staticmethod(finished_number)


def drawn(path: Path | None, count: int | None, seed: int) -> list[tuple[str, str, str]]:
    """Place, question and answer of ``count`` problems of the training split (None: all), in an order that the seed
    decides; a longer list begins with the shorter one."""
    rows = [(place, *pair(row, place)) for place, row in task_rows(path, HUB, SUBSET, "train")]
    Random(f"gsm8k {seed}").shuffle(rows)
    return rows[:count]


def _plain(answer: str) -> str:
    """Without the marks of a calculator that no chat has: ``48/2 = <<48/2=24>>24`` is ``48/2 = 24``."""
    return re.sub(r"<<[^>]*>>", "", answer)


def pair(row: Mapping[str, Any], place: str) -> tuple[str, str]:
    """Question and reference answer of a row. Raises InputError where the answer has no number after ``####``."""
    question = check_text(row.get("question"), "question", place, empty=False)
    answer = check_text(row.get("answer"), "answer", place)
    if strict_number(answer) is None or number(answer.rpartition("####")[2]) is None:
        raise InputError(f"{place}: 'answer' does not end in '#### NUMBER', so answers cannot be judged; correct it.")
    return question, answer
