"""Puzzles drawn by reasoning-gym (Stojanovski et al. 2025, arXiv:2505.24760), judged by its own scorers.

Some of its scorers run what the model wrote as Python (``eval``, sympy's ``parse_expr``); strop runs such text in a
sandbox alone, so these datasets are refused.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from functools import cache
from typing import Any, NamedTuple

from pydantic import Field

from strop.common.errors import InputError
from strop.rewards import Judgement
from strop.rewards.reasoning import without_reasoning
from strop.tasks.base import AnswerSettings, AnswerTask, Item, TaskSettings, register
from strop.tasks.metrics import NO_ANSWER, TASK, accuracy, part

INSTRUCTION = "Give the final answer alone between <answer> and </answer>."
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_RUNS_TEXT = re.compile(r"\b(?:eval|exec|parse_expr|sympify)\((?!entry)")
_FAULTS = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError)


class ReasoningGymSettings(AnswerSettings):
    dataset: str = Field("leg_counting", description="Of reasoning-gym's datasets; several joined by +.")
    config: dict[str, Any] = Field({}, description="The dataset's own settings, e.g. {min_animals: 2}.")
    max_tokens: int = Field(512, ge=1, description="Longest answer, in tokens.")


class Entry(NamedTuple):
    """A puzzle as reasoning-gym made it."""

    dataset: str
    config: str
    entry: dict[str, Any]


@register("reasoning_gym")
class ReasoningGym(AnswerTask):
    """``count`` puzzles (96) of each dataset, drawn with ``seed``."""

    Settings = ReasoningGymSettings
    settings: ReasoningGymSettings
    source = "drawn by reasoning-gym (package reasoning-gym)"
    licence = "Apache-2.0"
    metrics = (
        accuracy("puzzles solved", lead=2, by_source=True),
        part("score", "reasoning-gym's own score, some of it for answers that are partly right", TASK, by_source=True),
        NO_ANSWER,
    )

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings)
        if importlib.util.find_spec("reasoning_gym") is None:
            raise InputError("reasoning-gym is not installed; run: pip install 'strop[reasoning-gym]'")

    def items(self) -> list[Item]:
        settings, made = self.settings, []
        config = json.dumps(settings.config, sort_keys=True)
        for dataset in settings.dataset.split("+"):
            drawn = _drawn(dataset, config, settings.count or 96, settings.seed)
            for index in range(len(drawn)):
                entry, name = drawn[index], f"{dataset}/{settings.seed}-{index}"
                messages = [{"role": "user", "content": f"{entry['question'].strip()}\n\n{INSTRUCTION}"}]
                made.append(Item(name, name, messages, Entry(dataset, config, entry), source=dataset))
        return made

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        """Of the last ``<answer>``; accepted at the full score."""
        dataset, config, entry = item.data
        found = _ANSWER.findall(without_reasoning(answer))
        if not found:
            return Judgement("no_answer", 0, 1, "there is no <answer>", parts={"score": 0.0})
        try:
            score = float(_drawn(dataset, config, 1, 0).score_answer(found[-1].strip(), entry))
        except _FAULTS as error:
            return Judgement("judge_fault", 0, 1, f"the scorer of {dataset} raised {type(error).__name__}: {error}")
        right = score >= 1
        return Judgement(
            "accepted" if right else "wrong_answer", int(right), 1, parts={"score": min(1.0, max(0.0, score))}
        )


@cache
def _drawn(dataset: str, config: str, size: int, seed: int) -> Any:
    """A dataset of reasoning-gym. Raises InputError for one that there is not, or that would run the model's text."""
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if dataset not in DATASETS:
        raise InputError(f"reasoning_gym: there is no dataset {dataset!r}; there are {', '.join(sorted(DATASETS))}.")
    if _RUNS_TEXT.search(inspect.getsource(DATASETS[dataset][0].score_answer)):
        raise InputError(
            f"reasoning_gym: the scorer of {dataset} runs the model's text as Python in this process, which strop does "
            "not do; choose another dataset."
        )
    try:
        return reasoning_gym.create_dataset(dataset, **json.loads(config), size=size, seed=seed)
    except (TypeError, AssertionError, ValueError) as error:
        raise InputError(f"reasoning_gym: config: {dataset} refused {config}: {error}; correct it.") from None
