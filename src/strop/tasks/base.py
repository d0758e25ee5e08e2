"""What a model can be measured on and trained by: a task's items, their prompts, and how answers are graded.

A task is a class with a name in the registry: a file in this package, or one that a recipe names under ``plugins``.
Evaluation, the doctor's search for contamination, the report and training data all read it from there, so what is
trained on and what is measured have one grader. What a task must have is `AnswerTask`, or `LossTask` where the loss on
conversations is measured; ``docs/extending.md`` has an example.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from strop.common.errors import InputError
from strop.common.registry import Registry, load_plugins, plugin_file
from strop.data.readers import NamedSet, built_in
from strop.data.rows import Row
from strop.rewards import Judgement, judge_fault, map_in_workers
from strop.tasks.metrics import Metric


class TaskSettings(BaseModel):
    """How one task is measured."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    path: Path | None = Field(None, description="A .jsonl of problems with tests, instead of a built-in task.")
    count: int | None = Field(None, ge=1, description="How many items; by default all, or 96 generated ones.")
    seed: int = Field(0, ge=0, description="Seed of generated items.")
    max_tokens: int = Field(256, ge=1, description="Longest answer, in tokens.")


@dataclass(frozen=True)
class Item:
    """``messages`` is the prompt; ``family`` groups items that are alike; ``data`` is what the grader needs; ``source``
    is where it comes from, of which an evaluation may hold several."""

    name: str
    family: str
    messages: list[dict[str, str]]
    data: Any = field(repr=False)
    source: str = ""


class Task(ABC):
    """Raises InputError, when made or asked for its items, where its data are not there or are none of it."""

    metrics: ClassVar[Sequence[Metric]]
    source: ClassVar[str] = ""
    """Where the items come from: a paper, a package, an address."""
    licence: ClassVar[str] = ""
    own_prefix: ClassVar[str | None] = None
    """What its metrics' names begin with under its own name; by default the name and an underscore."""
    reads_path: ClassVar[bool] = False
    """Whether ``path`` is its own business. That of all others is a file of problems, known by its columns."""

    def __init__(self, name: str, settings: TaskSettings):
        self.name, self.settings = name, settings

    @property
    def prefix(self) -> str:
        return prefix_of(self.name)

    def measures(self) -> dict[str, Metric]:
        """Its metrics by the names that they are reported under."""
        own = TASKS.get(self.name) is type(self)
        named = [replace(m, name=self.prefix + m.name) if own else m.of_user(self.prefix) for m in self.metrics]
        return {metric.name: metric for metric in named}

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        """Conversations to train on, by the names that ``data: [{task: NAME}]`` knows."""
        return {}

    @abstractmethod
    def texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(name, texts) of every item: what must not be in training data."""


class AnswerTask(Task):
    """Prompts that are answered by generation and graded."""

    runs_programs: ClassVar[bool] = False
    """Whether grading runs what the model wrote: then it is done in worker processes, and the sandbox must work."""

    @abstractmethod
    def items(self) -> list[Item]:
        """All items, in order."""

    def train_items(self, count: int | None, seed: int) -> list[Item]:
        """``count`` items (None: as many as it likes) to be trained on by their grades, none of which `items` has.

        Raises InputError where there are none.
        """
        raise InputError(
            f"the task {self.name} has no items to train on, only such that are measured; train on another task, or "
            "give a file: {path: FILE}."
        )

    @classmethod
    @abstractmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        """What becomes of an answer."""

    @classmethod
    def tests(cls, item: Item) -> int:
        """How many tests an answer is graded by."""
        return 1

    @cached_property
    def all_items(self) -> list[Item]:
        return self.items()

    def judge(self, items: Sequence[Item], answers: Sequence[str]) -> list[Judgement]:
        """The grades of several answers. One that kills the judge's own process twice gets a fault for a verdict."""
        kind = type(self)
        pairs = list(zip(items, answers, strict=True))
        if not self.runs_programs:
            return [kind.grade(item, answer) for item, answer in pairs]
        jobs = [_Job(plugin_file(kind), pickle.dumps((kind, *pair)), kind.tests(pair[0])) for pair in pairs]
        return map_in_workers(_grade, jobs, on_death=lambda job: judge_fault(job.tests))

    def texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for item in self.all_items:
            yield item.name, tuple(turn["content"] for turn in item.messages if turn["role"] == "user")


class LossTask(Task):
    """Conversations whose loss is measured, in nats per token, whatever a recipe trains. It has one metric."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """The conversations as rows with their places."""


class _Job(NamedTuple):
    """``work``: class, item and answer, packed until a plug-in's file is read."""

    plugin: Path | None
    work: bytes
    tests: int


def _grade(job: _Job) -> Judgement:
    load_plugins([job.plugin] if job.plugin else [])
    kind, item, answer = pickle.loads(job.work)
    return kind.grade(item, answer)


TASKS: Registry[type[Task]] = Registry("task", "strop.tasks")
register = TASKS.register


def prefix_of(name: str) -> str:
    """What metrics' names begin with under ``evals.<name>``."""
    own = TASKS[name].own_prefix if name in TASKS else None
    return f"{name}_" if own is None else own


def known_metrics() -> dict[str, Metric]:
    """The metrics of all tasks that have a name of their own, by the names that they are reported under."""
    found = ((prefix_of(name) + metric.name, metric) for name, task in TASKS.items() for metric in task.metrics)
    return {name: replace(metric, name=name) for name, metric in found}


def named_sets() -> dict[str, NamedSet]:
    """What ``data: [{task: NAME}]`` may say: the sets of the tasks, and those that come with strop without one."""
    sets: dict[str, NamedSet] = {"functions": built_in("functions", "train")}
    for task in TASKS.values():
        sets |= task.sets()
    return sets
