"""What a recipe file may say: a model, what is measured, and the stages in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from strop.chat import ChatSettings
from strop.data.settings import DataField, EvalDataField, HeldOutSettings, MixtureSettings, as_mixture
from strop.evals.settings import EVAL_TASKS, EvalTaskSettings
from strop.model.settings import LoraSettings
from strop.train.settings import SftTrainSettings


class EvalStage(BaseModel):
    """Measure the model as it is at this point on the recipe's ``evals``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: Literal["eval"]


class SftStage(BaseModel):
    """Supervised fine-tuning on a mixture of conversations."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: Literal["sft"]
    data: DataField = Field(description="Parts of the mixture; or `parts` and how they are mixed.")
    eval_data: EvalDataField = Field(
        default_factory=list,
        description="Conversations for the evaluation loss; {fraction: 0.1} holds out a share of `data`.",
    )
    train: SftTrainSettings = Field(default_factory=SftTrainSettings, description="The training loop's settings.")
    lora: LoraSettings | None = Field(
        None, description="Train low-rank adapters, and merge them; by default all weights."
    )

    @field_validator("data")
    @classmethod
    def _some_part(cls, data: DataField) -> DataField:
        if not as_mixture(data).parts:
            raise ValueError("give at least one part.")
        return data

    @model_validator(mode="after")
    def _evaluation_has_data(self) -> SftStage:
        if self.train.eval_every is not None and not self.eval_data:
            raise ValueError("train.eval_every: there is no eval_data to evaluate on; give some, or drop it.")
        return self

    @property
    def mixture(self) -> MixtureSettings:
        return as_mixture(self.data)

    @property
    def eval_mixture(self) -> MixtureSettings:
        """What is given for it; without parts where a share of the training data is held out instead."""
        return as_mixture([] if isinstance(self.eval_data, HeldOutSettings) else self.eval_data)

    @property
    def held_out(self) -> HeldOutSettings | None:
        return self.eval_data if isinstance(self.eval_data, HeldOutSettings) else None


class ComputeSettings(BaseModel):
    """Where the work is done; the defaults choose what is fastest on the machine."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps …")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="Number format of matrix products.")
    max_rows: int = Field(128, ge=1, description="Answers generated at once.")
    cache_gb: float = Field(4.0, gt=0, description="Memory that generation may use for keys and values, in GB.")


Stage = Annotated[EvalStage | SftStage, Field(discriminator="kind")]

_NAME = re.compile(r"[^./\\\s][^/\\\x00-\x1f]*")
RECIPES = (".yaml", ".yml")
"""How a recipe's file name ends."""


class Recipe(BaseModel):
    """A pipeline: stages in order, each with its own folder under ``folder``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(description="Name of the run.")
    model: str = Field(description="Folder, hub id, .gguf file or smollm2-135m.")
    folder: Path | None = Field(None, description="Run folder; runs/<name> by default.")
    chat: ChatSettings = Field(default_factory=ChatSettings, description="How conversations become tokens.")
    compute: ComputeSettings = Field(default_factory=ComputeSettings, description="Device, precision, memory.")
    evals: dict[str, EvalTaskSettings] = Field(default_factory=dict, description="What every eval stage measures.")
    stages: dict[str, Stage] = Field(min_length=1, description="Stages by name, in order.")

    @model_validator(mode="after")
    def _known_tasks(self) -> Recipe:
        for name, task in self.evals.items():
            if task.path is None and name not in EVAL_TASKS:
                raise ValueError(f"evals.{name}: not a built-in task ({', '.join(EVAL_TASKS)}); give it a `path`.")
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"name: {self.name!r} cannot be a folder's name under runs/; use letters, digits, - and _ (folder=… "
                "puts the run elsewhere)."
            )
        for name, stage in self.stages.items():
            if not _NAME.fullmatch(name) or name.endswith((".new", ".old")):
                raise ValueError(f"stages.{name}: a stage's name is a folder's name; use letters, digits, - and _.")
            if isinstance(stage, EvalStage) and not self.evals:
                raise ValueError(
                    f"stages.{name}: measures nothing, since the recipe has no `evals`; name what to measure, e.g. "
                    "evals: {general_chat: {}}, or drop the stage."
                )
        return self

    @property
    def run_folder(self) -> Path:
        return self.folder or Path("runs") / self.name

    def profiled(self) -> Recipe:
        """The same, with a step of every training stage traced."""
        stages = {
            name: stage.model_copy(update={"train": stage.train.model_copy(update={"profile": True})})
            if isinstance(stage, SftStage)
            else stage
            for name, stage in self.stages.items()
        }
        return self.model_copy(update={"stages": stages})
