"""What a recipe file may say: a model, what is measured, and the stages in order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import GenericAlias, MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    WrapValidator,
    create_model,
    field_serializer,
    model_validator,
)

from strop.chat import ChatSettings
from strop.common.errors import InputError
from strop.common.packaged import recipe_file
from strop.common.registry import load_plugins
from strop.config.load import apply_override, load_config, load_values
from strop.config.yaml_file import read_yaml
from strop.data.settings import part_of
from strop.environments.base import read_environment
from strop.evals.gates import GateSettings
from strop.model.settings import NewModel
from strop.rollout.engine_settings import EngineSettings
from strop.stages.base import STAGES, Examined, Stage, any_stage
from strop.tasks.base import TASKS, TaskSettings, UnknownTask, any_task_settings, named_tasks, unknown_task
from strop.train.settings import Parallel


class ComputeSettings(BaseModel):
    """Where the work is done; the defaults choose what is fastest on the machine."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps …")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="Number format of matrix products.")
    parallel: Parallel = Field(
        "auto",
        description="Several processes (torchrun): replicate, each trains a whole model; shard, each holds a part of "
        "weights, gradients and moments (FSDP2); auto: shard where they would take half of a device's memory.",
    )
    max_rows: int = Field(128, ge=1, description="Answers generated at once.")
    cache_gb: float = Field(4.0, gt=0, description="Memory that generation may use for keys and values, in GB.")


_NAME = re.compile(r"[^./\\\s][^/\\\x00-\x1f]*")
_BUILT_IN = {*STAGES.values(), *TASKS.values()}
RECIPES = (".yaml", ".yml")
"""How a recipe's file name ends."""


def _by_shape(value: Any, handler: Any) -> Any:
    """One branch of the union by what was written, so that errors are about that one."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | NewModel):
        return NewModel.model_validate(value)
    raise ValueError("expected a model's name, or {new: {…a configuration…}, tokenizer: …}.")


ModelField = Annotated[str | NewModel, WrapValidator(_by_shape)]
if TYPE_CHECKING:
    AnyTaskSettings = TaskSettings
    AnyStage = Stage
else:  # unions of what is registered
    AnyTaskSettings = any_task_settings()
    AnyStage = any_stage()


class Recipe(BaseModel):
    """A pipeline: stages in order, each with its own folder under ``folder``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(description="Name of the run.")
    model: ModelField = Field(
        description="Folder, hub id, .gguf file or smollm2-135m; or {new: {…a configuration…}, tokenizer: …}."
    )
    folder: Path | None = Field(None, description="Run folder; runs/<name> by default.")
    unsafe_local: bool = Field(False, description="Run programs in answers without any sandbox (--unsafe-local).")
    plugins: list[Path] = Field([], description="Python files that add tasks or kinds of stages.")
    chat: ChatSettings = Field(default_factory=ChatSettings, description="How conversations become tokens.")
    compute: ComputeSettings = Field(default_factory=ComputeSettings, description="Device, precision, memory.")
    rollout: EngineSettings = Field(default_factory=EngineSettings, description="Which engine generates.")
    evals: dict[str, AnyTaskSettings] = Field(default_factory=dict, description="What every eval stage measures.")
    stages: dict[str, AnyStage] = Field(min_length=1, description="Stages by name, in order.")
    trackers: list[Literal["tensorboard", "wandb", "trackio"]] = Field(
        [], description="Where metrics go too: tensorboard (in the run folder), wandb, trackio."
    )
    gates: dict[str, GateSettings] = Field(default_factory=dict, description="How far metrics may fall (exit code 3).")

    @field_serializer("chat")
    def _chat_as_given(self, chat: ChatSettings, info: SerializationInfo) -> dict[str, Any]:
        """What was set. What was not, the model's own folder says (`strop.chat.saved`), and is to say again."""
        return chat.model_dump(mode=info.mode, exclude_unset=True)

    @field_serializer("evals")
    def _evals_as_given(self, evals: dict[str, TaskSettings], info: SerializationInfo) -> dict[str, Any]:
        """In full, but of a file that is known by its columns what was set: the rest is for its layout to say."""
        return {
            name: task.model_dump(mode=info.mode, exclude_unset=task.task is None and task.path is not None)
            for name, task in evals.items()
        }

    @model_validator(mode="before")
    @classmethod
    def _named_tasks(cls, given: Any) -> Any:
        return (
            {**given, "evals": named_tasks(given["evals"])} if isinstance(given, dict) and "evals" in given else given
        )

    @model_validator(mode="after")
    def _known_names(self) -> Recipe:
        for name, task in self.evals.items():
            if isinstance(task, UnknownTask):
                raise ValueError(f"evals.{name}: {unknown_task(task.task or name, task.path, bool(task.task))}")
        try:
            read_environment(self.chat.environment)
        except ValueError as error:
            raise ValueError(f"chat.environment: {error}") from error
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"name: {self.name!r} cannot be a folder's name under runs/; use letters, digits, - and _ (folder=… "
                "puts the run elsewhere)."
            )
        for name, stage in self.stages.items():
            if not _NAME.fullmatch(name) or name.endswith((".new", ".old")):
                raise ValueError(f"stages.{name}: a stage's name is a folder's name; use letters, digits, - and _.")
            try:
                self._check_start(name)
                stage.check(self)
            except ValueError as error:
                raise ValueError(f"stages.{name}: {error}") from None
        return self

    def _check_start(self, name: str) -> None:
        """Raises ValueError where the stage is to go on from what is no earlier stage that leaves a model."""
        wanted, known = self.stages[name].start, [one for one in self._earlier(name) if self.stages[one].trains]
        if wanted is not None and wanted not in known:
            listed = ", ".join(known) or "there is none"
            raise ValueError(f"from: {wanted!r} is no earlier stage that leaves a model ({listed}).")

    def _earlier(self, name: str) -> list[str]:
        return list(self.stages)[: list(self.stages).index(name)]

    def model_from(self, name: str) -> str | None:
        """The stage whose model the stage ``name`` works with; None: the recipe's own."""
        if (wanted := self.stages[name].start) is not None:
            return wanted
        left = (one for one in reversed(self._earlier(name)) if self.stages[one].trains and self.stages[one].hands_on)
        return next(left, None)

    @property
    def model_name(self) -> str:
        """What the model is called in messages and reports."""
        return self.model if isinstance(self.model, str) else str(self.model)

    @property
    def run_folder(self) -> Path:
        return self.folder or Path("runs") / self.name

    def rows_of(self, stage: str) -> Path:
        """The rows that a stage leaves, when it is done. Raises InputError for a stage that leaves none."""
        leaves = self.stages[stage].leaves
        if leaves is None:
            raise InputError(f"stages.{stage}: leaves no rows that another stage could read; kind sample does.")
        return self.run_folder / stage / leaves

    def model_of(self, stage: str) -> Path:
        """The model that a stage leaves, when it is done."""
        return self.run_folder / stage / "model"

    def examined(self) -> dict[str, Examined]:
        """What can be looked at of every stage that trains on conversations, by stage.

        Raises InputError where that is rows that another stage has not made yet.
        """
        found = {name: stage.with_rows(self.rows_of).examined() for name, stage in self.stages.items()}
        for name, stage in self.stages.items():
            for maker in stage.reads():
                if found[name] is not None and not self.rows_of(maker).is_file():
                    raise InputError(
                        f"stages.{name}.data: the rows of stage {maker} are not there yet ({self.rows_of(maker)}); "
                        "strop run makes them, and looks at them before it trains on them."
                    )
        return {name: one for name, one in found.items() if one is not None}

    def profiled(self) -> Recipe:
        """The same, with a step of every stage traced that has steps."""
        return self.model_copy(update={"stages": {name: stage.profiled() for name, stage in self.stages.items()}})


def stage_recipe(
    verb: str,
    model: str,
    settings: Mapping[str, Any],
    overrides: Sequence[str] = (),
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Recipe:
    """A recipe of one stage with these ``settings``, ``kind`` among them, called as the ``verb`` is.

    An override whose first name is a setting of the stage is the stage's (``rollout.group_size`` of one that has
    rollouts), another that a recipe has (``chat.max_length``, ``name``) is the recipe's. ``more``: what else
    the recipe says. Raises InputError as `load_recipe`, and for overrides that make another verb of it.
    """
    one = f"strop {verb} is one stage of kind {settings['kind']}; leave this out, or write a recipe for strop run."
    twice = "the data are given by --data; name them there."
    origins = (
        f"data.parts.{n}.{one}" for n in range(len(settings["data"])) for one in ("path", "hub", "task", "stage")
    )
    given_twice = {"model": named_model(verb), "data=": twice, "data.parts=": twice, **dict.fromkeys(origins, twice)}
    check_said_once(overrides, {**given_twice, "kind": one, "stages": one})
    stage = deepcopy(dict(settings))
    if any(override.startswith("data.") for override in overrides):  # data.on_bad_row and the like
        stage["data"] = {"parts": [part_of(one) for one in stage["data"]]}
    values = {"name": verb, **more, "model": model, "stages": {verb: stage}}
    kind = recipe_with(plugins_of({"plugins": [str(file) for file in more.get("plugins", ())]}, overrides))
    given = []
    for override in overrides:
        first = override.partition("=")[0].partition(".")[0]
        of_recipe = first in Recipe.model_fields and first not in STAGES[settings["kind"]].model_fields
        given.append(override if of_recipe else f"stages.{verb}.{override}")
    recipe = load_values(kind, values, given, f"strop {verb}")
    try:
        recipe.stages[verb].check_verb(verb)
    except ValueError as error:
        raise InputError(f"strop {verb}: {error}") from None
    return recipe


def named_model(verb: str) -> str:
    """What is to be said of a model that is given twice."""
    return f"the model is the one after `strop {verb}`; name it there."


def check_said_once(overrides: Sequence[str], arguments: Mapping[str, str]) -> None:
    """Raise InputError for an override of what the verb's own arguments say, by the key that it would change: one of
    the two would be read, and nobody would know which. The values are what to do instead. A key that ends in ``=`` is
    itself meant, and not what is below it."""
    for override in overrides:
        key = override.partition("=")[0]
        for said, instead in arguments.items():
            if f"{key}=" == said or key == said or key.startswith(f"{said}."):
                raise InputError(f"override {override!r}: {instead}")


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, or the built-in one of a name, with ``section.key=value`` overrides; the files under
    ``plugins`` are read first.

    Raises InputError with one line for every problem, see `load_config`.
    """
    path = recipe_file(path)
    return load_config(recipe_with(plugins_of(read_yaml(path).values, overrides)), path, overrides)


def plugins_of(values: Mapping[str, Any], overrides: Sequence[str]) -> Any:
    """What ``plugins`` says, overrides of it included: these files are read before anything can be validated."""
    said = {"plugins": deepcopy(values.get("plugins"))}
    for override in overrides:
        if override.partition("=")[0].partition(".")[0] == "plugins":
            apply_override(said, override)
    return said["plugins"]


def recipe_with(plugins: Any) -> type[Recipe]:
    """A recipe in which everything can stand that the files ``plugins`` add, which are read first."""
    plugins = plugins or []
    if isinstance(plugins, list) and all(isinstance(file, str) for file in plugins):  # anything else is refused later
        load_plugins(map(Path, plugins))
    if {*STAGES.values(), *TASKS.values()} == _BUILT_IN:
        return Recipe
    stages = (_by_name(any_stage()), Recipe.model_fields["stages"])
    evals = (_by_name(any_task_settings()), Recipe.model_fields["evals"])
    return create_model("Recipe", __base__=Recipe, stages=stages, evals=evals)


def _by_name(kind: Any) -> Any:
    return GenericAlias(dict, (str, kind))
