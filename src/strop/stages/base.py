"""What every kind of stage says of itself; the pipeline, the summary, the doctor, the inspector and the report ask it.

A kind is a settings class with a name in the registry (`docs/extending.md` has one). Its settings are read without
torch; what computes is imported by `Stage.run`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from strop.chat.answers import Content
from strop.common.console import say
from strop.common.registry import Registry
from strop.data.settings import HeldOutSettings, MixtureSettings

if TYPE_CHECKING:
    from rich.console import Console

    from strop.config.recipe import Recipe
    from strop.model.precision import Compute
    from strop.model.settings import LoraSettings
    from strop.train.settings import TrainSettings
    from strop.train.world import World


@dataclass(frozen=True)
class Context:
    """What a stage works with: its name, the model (a folder) as the stages before left it, its own folder.

    Of several ranks each runs the stage; the first one writes, and only its console speaks.
    """

    recipe: Recipe
    name: str
    model: Path
    folder: Path
    compute: Compute
    console: Console
    made_from: Mapping[str, Any] = field(default_factory=dict)  # settings and inputs by dotted name, see runs.made_from
    so_far: Callable[[StageResult], None] = lambda result: None
    """To be called with what is there of the stage's result while it goes on, which the run's page then shows."""

    @property
    def world(self) -> World:
        """The ranks that are at work."""
        from strop.train.world import World

        return World.current()

    @property
    def model_name(self) -> str:
        """The model as the user named it, where it is still that one."""
        from strop.model.names import resolve

        return self.recipe.model_name if self.model == resolve(self.recipe.model) else str(self.model)

    def say(self, text: str, style: str | None = None) -> None:
        """A line for people, as it stands."""
        say(self.console, text, style)


@dataclass(frozen=True)
class StageResult:
    """What a stage leaves beside its files; each part is shown where there is one.

    An evaluation gives ``metrics`` (estimates by name), ``measures`` (what each is, see `strop.tasks.metrics`),
    ``tasks`` (the metrics of each task), ``answered`` (tasks whose answers are in ``evals/<task>.jsonl``) and ``notes``
    (what a reader of a task's numbers should know). A training gives ``totals`` (seconds, tokens, trained tokens,
    evaluation loss) and ``mask``. ``facts`` are whatever else is worth a line in the report.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    measures: dict[str, Any] = field(default_factory=dict)
    tasks: dict[str, list[str]] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    totals: dict[str, Any] = field(default_factory=dict)
    mask: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without what is empty."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name))}


@dataclass(frozen=True)
class Examined:
    """The conversations that a stage trains on, what measures its evaluation loss, the settings that matter, and what
    the rows hold. Of pairs the chosen answers are looked at."""

    mixture: MixtureSettings
    eval_mixture: MixtureSettings
    held_out: HeldOutSettings | None
    train: TrainSettings
    lora: LoraSettings | None
    content: Content = "conversations"
    chat: Mapping[str, Any] = field(default_factory=dict)
    """What of the recipe's chat settings is otherwise in this stage."""


class Stage(BaseModel):
    """One stage of a recipe: its settings, and what is done with them."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, serialize_by_alias=True)

    kind: str
    # A keyword of Python, so the attribute has another name.
    start: str | None = Field(
        None,
        alias="from",
        description="The earlier stage whose model this one works with; by default the last one that leaves a model.",
    )
    trains: ClassVar[bool] = False
    """Whether it leaves a model (``folder/model``) for the stages after it, and takes long enough to be asked about."""
    hands_on: ClassVar[bool] = True
    """Of a stage that trains: whether the stages after it go on with its model; else with the one that it was given."""
    leaves: ClassVar[str | None] = None
    """The file in its folder whose rows later stages of the recipe may train on, where it leaves one."""
    judges_anew: ClassVar[bool] = False
    """Whether it uses nothing of what ran without a sandbox where it goes on with one; else it is named for good."""
    if_stopped: ClassVar[str] = "it is done again by the same command"
    """What becomes of its work when a signal stops it, for the end of a sentence."""

    @property
    def per_step(self) -> tuple[str, int] | None:
        """How many pieces each optimiser step shares out among the ranks, and the setting that says so."""
        return None

    def check(self, recipe: Recipe) -> None:
        """Raises ValueError where the stage and the rest of the recipe do not go together."""

    def check_verb(self, verb: str) -> None:
        """Raises ValueError where its settings are none of what the ``verb`` stands for that is a recipe of it."""

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        """What the result depends on beside the stage's own settings, the chat settings and the model: digests of
        files, commits of hub data. Raises InputError for data that are not there."""
        return {}

    def local_data(self, recipe: Recipe) -> Iterator[Path]:
        """Every file and folder that it reads conversations or problems from."""
        yield from ()

    @property
    def holds(self) -> Content:
        """What the rows hold that it ``leaves``."""
        return "conversations"

    def reads(self) -> Iterator[str]:
        """The earlier stages whose rows it trains on, or whose results it reads."""
        yield from ()

    def with_rows(self, rows: Callable[[str], Path]) -> Stage:
        """The same, with the file ``rows(stage)`` in the place of every stage that it `reads`."""
        return self

    def with_models(self, model_of: Callable[[str], Path]) -> Stage:
        """The same, with the folder ``model_of(stage)`` in the place of every stage whose model it asks."""
        return self

    def examined(self) -> Examined | None:
        """What the doctor and the inspector look at; None where it trains on no conversations."""
        return None

    def profiled(self) -> Stage:
        """The same with a step traced, where there is something to trace."""
        return self

    @property
    def resume(self) -> str | Path:
        """What it goes on from: see `strop.train.settings`."""
        return "auto"

    @property
    def seed(self) -> int | None:
        """The seed that its result depends on, if any."""
        return None

    def preflight(self, context: Context) -> None:
        """Raises InputError for what is known to go wrong, before the first stage takes its time. ``context`` has the
        recipe's own model."""

    @abstractmethod
    def run(self, context: Context) -> StageResult:
        """Do it. Raises InputError, or Interrupted with a checkpoint written."""


STAGES: Registry[type[Stage]] = Registry("kind of stage", "strop.stages", Stage)
register = STAGES.register
"""``register(kind)``, a decorator: the class is the stage of that ``kind``, which is what a recipe writes."""


def any_stage() -> Any:
    """The type of a stage in a recipe: any kind that is registered by now, told by its ``kind``."""
    return Annotated[reduce(or_, STAGES.values()), Field(discriminator="kind")]
