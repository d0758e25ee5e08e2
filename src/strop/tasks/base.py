"""What a model can be measured on and trained by: a task's items, their prompts, and how answers are graded.

A task is a class with a name in the registry: a file in this package, or one that a recipe names under ``plugins``.
Evaluation, the doctor's search for contamination, the report and training data all read it from there, so what is
trained on and what is measured have one grader. What a task must have is `AnswerTask`, or `LossTask` where the loss on
conversations is measured; ``docs/extending.md`` has an example.
"""

from __future__ import annotations

import difflib
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from strop.common.errors import InputError, blamed, ended_by
from strop.common.registry import Registry, home_of, load_plugins, plugin_file
from strop.data.readers import NamedSet, built_in
from strop.data.rows import Row
from strop.environments.base import EnvironmentField
from strop.rewards import Judgement, Score, judge_fault, map_in_workers
from strop.rewards.code import Verdict
from strop.rewards.reward import as_score
from strop.rewards.timed import Failed
from strop.tasks.items import Document, Item, Question
from strop.tasks.metrics import ENDINGS, Metric, pass_at

SAMPLING_TEMPERATURE = 0.8
"""Of several answers to each item, where none is named: that of Chen et al. 2021 for pass@100."""


class TaskSettings(BaseModel):
    """How one task is measured."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    task: str | None = Field(None, description="The task it is, where it goes by another name.")
    path: Path | None = Field(None, description="A file or folder with the items, instead of where they come from.")
    count: int | None = Field(None, ge=1, description="How many items; by default all, or 96 generated ones.")
    seed: int = Field(0, ge=0, description="Seed of generated items.")
    max_tokens: int = Field(256, ge=1, description="Longest answer, in tokens.")


class AnswerSettings(TaskSettings):
    """How a task of generated answers is measured."""

    samples: int = Field(1, ge=1, description="Answers to each item.")
    k: Annotated[list[int], BeforeValidator(lambda k: [k] if isinstance(k, int) else k)] | None = Field(
        None, description="Of pass@k, with several samples; by default 1 and all of them."
    )
    temperature: float | None = Field(None, ge=0, description="0 is greedy; by default 0, or 0.8 for several samples.")
    top_p: float = Field(1.0, gt=0, le=1, description="Draw from the smallest set of this probability.")
    environment: EnvironmentField | None = Field(
        None, description="What answers between the model's turns: tools, inline, or a kind of a plug-in."
    )

    @model_validator(mode="after")
    def _drawn(self) -> AnswerSettings:
        if too_many := [k for k in self.k or () if not 1 <= k <= self.samples]:
            raise ValueError(
                f"k: pass@{too_many[0]} needs as many answers to each item, and samples is {self.samples}; raise "
                "samples, or lower k."
            )
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"temperature: {self.samples} answers drawn at temperature 0 are one and the same; raise it, or drop "
                "samples."
            )
        return self

    @property
    def drawn_at(self) -> float:
        """The temperature."""
        if self.temperature is not None:
            return self.temperature
        return SAMPLING_TEMPERATURE if self.samples > 1 else 0.0

    @property
    def ks(self) -> list[int]:
        """The k of every pass@k; none where each item has one answer."""
        if self.samples == 1:
            return self.k or []
        return sorted(set(self.k)) if self.k else [1, self.samples]


Named = TypeVar("Named", Item, Question, Document)


class Task(ABC):
    """Raises InputError, when made or asked for its items, where its data are not there or are none of it."""

    how: ClassVar[Literal["answers", "choices", "loss", "text"]]
    """What is done with a model: it answers, scores options, or is measured by its loss on conversations or texts."""
    Settings: ClassVar[type[TaskSettings]] = TaskSettings
    """What a recipe may say under ``evals.<name>``, with the defaults of the task."""
    metrics: Sequence[Metric]
    source: ClassVar[str] = ""
    """Where the items come from: a paper, a package, an address."""
    licence: ClassVar[str] = ""
    hub: ClassVar[str | None] = None
    """The data set on the hub that its items come from, where no ``path`` is given."""
    own_prefix: ClassVar[str | None] = None
    """What its metrics' names begin with under its own name; by default the name and an underscore."""
    reads_path: ClassVar[bool] = False
    """Whether ``path`` is its own business. That of all others is a file of problems, known by its columns."""

    notes: Sequence[str] = ()
    """What there is to know about the items that were made, in words."""

    def __init__(self, name: str, settings: TaskSettings):
        self.name, self.settings = name, fitted(name, settings, self.Settings)

    @property
    def prefix(self) -> str:
        return prefix_of(self.name)

    def measures(self) -> dict[str, Metric]:
        """Its metrics by the names that they are reported under."""
        own = TASKS.get(self.name) is type(self)
        all_metrics = [*self.metrics, *self.added_metrics()]
        named = [replace(m, name=self.prefix + m.name) if own else m.of_user(self.prefix) for m in all_metrics]
        return {metric.name: metric for metric in named}

    def added_metrics(self) -> list[Metric]:
        """Those that every task of its kind has beside its own."""
        return []

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        """Conversations to train on, by the names that ``data: [{task: NAME}]`` knows."""
        return {}

    @abstractmethod
    def texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(name, texts) of every item: what must not be in training data."""


class AnswerTask(Task):
    """Prompts that are answered by generation and graded."""

    how = "answers"
    Settings = AnswerSettings
    settings: AnswerSettings
    runs_programs: ClassVar[bool] = False
    """Whether grading runs what the model wrote: then it is done in worker processes, and the sandbox must work."""
    stop: Sequence[str] = ()
    """Texts that end an answer, and are no part of it."""

    @property
    def judges_itself(self) -> bool:
        """Whether `judge` has processes and time limits of its own, so that nobody has to give it some."""
        return self.runs_programs

    @abstractmethod
    def items(self) -> list[Item]:
        """All items, in order."""

    def train_items(self, count: int | None, seed: int) -> list[Item]:
        """``count`` items (None: as many as it likes) to be trained on by their grades, none of which `items` has; of a
        task with a ``path`` those of that file or folder, which is then to be another one than what is measured.

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
    def finished_part(cls, answer: str) -> str:
        """What is graded of an answer that was cut off: all of it, unless the task knows better."""
        return answer

    @classmethod
    def graded(cls, answer: str, finish_reason: str, opened: str = "") -> str:
        """What is graded of an answer: after the mark that its prompt ``opened`` reasoning with, so that reasoning that
        was cut off is seen as such; and where it was cut off, what the task takes for finished."""
        whole = f"{opened}\n{answer}" if opened else answer
        return cls.finished_part(whole) if finish_reason == "length" else whole

    def added_metrics(self) -> list[Metric]:
        """How answers ended, and with several samples pass@k."""
        own = {metric.name for metric in self.metrics}
        return [one for one in (*ENDINGS, *map(pass_at, self.settings.ks)) if one.name not in own]

    @classmethod
    def tests(cls, item: Item) -> int:
        """How many tests an answer is graded by."""
        return 1

    @cached_property
    def all_items(self) -> list[Item]:
        return distinct(self.items(), self.name, Item)

    def judge(self, items: Sequence[Item], answers: Sequence[str]) -> list[Judgement]:
        """The grades of several answers. One that kills the judge's own process twice gets a fault for a verdict."""
        kind = type(self)
        pairs = list(zip(items, answers, strict=True))
        if not self.runs_programs:
            return [_judgement(kind, *pair) for pair in pairs]
        jobs = [_Job(plugin_file(kind), pickle.dumps((kind, *pair)), kind.tests(pair[0])) for pair in pairs]
        return map_in_workers(_grade, jobs, on_death=lambda job: judge_fault(job.tests))

    def texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for item in self.all_items:
            yield item.name, tuple(turn["content"] for turn in item.messages if turn["role"] == "user")


class ChoiceTask(Task):
    """Multiple-choice questions, answered by the likeliest option: nothing is generated."""

    how = "choices"

    @abstractmethod
    def questions(self) -> list[Question]:
        """All questions, in order."""

    @cached_property
    def all_questions(self) -> list[Question]:
        return distinct(self.questions(), self.name, Question)


class TextTask(Task):
    """Texts whose loss is measured, token by token, as they stand."""

    how = "text"

    @abstractmethod
    def documents(self) -> list[Document]:
        """All texts, in order."""

    @cached_property
    def all_documents(self) -> list[Document]:
        return distinct(self.documents(), self.name, Document)

    def texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield from ((document.name, (document.text,)) for document in self.all_documents)


def distinct(items: list[Named], task: str, kind: type[Named]) -> list[Named]:
    """The items themselves. Raises InputError where two have one name (their answers would count as one item's), there
    is none, or one is not of its ``kind``."""
    if odd := [one for one in items if not isinstance(one, kind)]:
        raise InputError(f"evals.{task}: an item is {odd[0]!r}, where its items are of the class {kind.__name__}.")
    if not items:
        raise InputError(f"evals.{task}: the task has no items; let it give some.")
    names = [item.name for item in items]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"evals.{task}: {names.count(twice):,} items are called {twice!r}; give each a name of its own."
        )
    return items


class LossTask(Task):
    """Conversations whose loss is measured, in nats per token, whatever a recipe trains. It has one metric."""

    how = "loss"

    @abstractmethod
    def rows(self) -> list[Row]:
        """The conversations as rows with their places."""


NO_KIND = "the task {} is neither an AnswerTask, a ChoiceTask, a TextTask nor a LossTask."
"""What is wrong with a task that nobody knows how to measure."""


class _Job(NamedTuple):
    """``work``: class, item and answer, packed until a plug-in's file is read."""

    plugin: Path | None
    work: bytes
    tests: int


def _grade(job: _Job) -> Judgement:
    load_plugins([job.plugin] if job.plugin else [])
    kind, item, answer = pickle.loads(job.work)
    try:
        return _judgement(kind, item, answer)
    except SystemExit as error:  # it would be raised in the process that waits, without its place
        raise InputError(ended_by(error)) from None
    except Exception as error:  # the same
        if (said := blamed(error)) is None:
            raise
        raise InputError(said) from None


def _judgement(kind: type[AnswerTask], item: Item, answer: str) -> Judgement:
    """Raises InputError where the task gives no `Judgement`, or one whose parts are no numbers."""
    given, by = kind.grade(item, answer), f"{home_of(kind)}: grade of {kind.__name__}"
    if not isinstance(given, Judgement) or given.verdict not in get_args(Verdict):
        verdicts = f"a Judgement of strop.rewards, whose verdict is {', '.join(get_args(Verdict))}"
        raise InputError(f"{by} gave {given!r}; it is to give {verdicts}.")
    scores = {name: as_score(part) for name, part in given.parts.items()}
    for name, score in scores.items():
        if isinstance(score, Failed):
            raise InputError(f"{by} {score.why} as the part {name!r} of its Judgement; give a finite number.")
    # As JSON holds them: True and NumPy's numbers are numbers too.
    parts = {name: score.value for name, score in scores.items() if isinstance(score, Score)}
    return replace(given, passed=int(given.passed), total=int(given.total), parts=parts)


TASKS: Registry[type[Task]] = Registry("task", "strop.tasks", Task)
register = TASKS.register


def fitted(name: str, settings: TaskSettings, kind: type[TaskSettings]) -> TaskSettings:
    """The settings as ``kind`` reads them. Raises InputError where they name what the task does not have."""
    if isinstance(settings, kind):
        return settings
    try:
        return kind(**settings.model_dump(exclude_unset=True))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        known = ", ".join(kind.model_fields)
        said = f"is none of this task's settings ({known})" if first["type"] == "extra_forbidden" else first["msg"]
        raise InputError(f"evals.{name}: {key}: {said}.") from None


class UnknownTask(TaskSettings):
    """Of a task that there is not; whoever reads the recipe says so."""

    model_config = ConfigDict(extra="ignore")


def any_task_settings() -> Any:
    """The type of what stands under ``evals.<name>``: the settings of any task that is registered by now, told by its
    ``task`` (`named_tasks` puts it there), or those of a file that is known by its columns."""
    kinds = _kinds()

    def tag(value: Any) -> str:
        if not isinstance(value, dict):
            return next((name for name, kind in kinds.items() if type(value) is kind), "")
        return _kind_of(value)

    return Annotated[reduce(or_, (Annotated[kind, Tag(name)] for name, kind in kinds.items())), Discriminator(tag)]


def settings_class(name: str, given: Mapping[str, Any]) -> type[TaskSettings]:
    """What ``evals.<name>`` is read by, whatever else it says; `UnknownTask` where there is no such task."""
    return _kinds()[_kind_of(named_tasks({name: given})[name])]


def _kinds() -> dict[str, type[TaskSettings]]:
    return {"": AnswerSettings, "?": UnknownTask, **{name: task.Settings for name, task in TASKS.items()}}


def _kind_of(given: Mapping[str, Any]) -> str:
    wanted = given.get("task")
    return wanted if wanted in _kinds() else "" if wanted is None and given.get("path") is not None else "?"


def named_tasks(evals: Any) -> Any:
    """``evals`` as a recipe has them, each with its ``task`` where it is not known by the columns of its file."""
    if not isinstance(evals, dict):
        return evals
    found = {name: {} if given is None else given for name, given in evals.items()}
    for name, given in found.items():
        known = isinstance(given, dict) and "task" not in given and name in TASKS
        if known and (given.get("path") is None or TASKS[name].reads_path):
            found[name] = {**given, "task": name}
    return found


def unknown_task(wanted: str, path: object = None, given: bool = False) -> str:
    """What to say of a task that there is not; ``given``: the settings name it (``task``), beside a ``path`` or not."""
    near = difflib.get_close_matches(wanted, TASKS, n=1)
    known = "leave `task` out, and the file's columns tell" if path is not None else "give it a `path`"
    hint = f"did you mean {near[0]!r}?" if near else f"{known}."
    own = f"{wanted!r} is " if near or given else ""
    return f"{own}not a built-in task ({', '.join(TASKS)}); {hint}"


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
