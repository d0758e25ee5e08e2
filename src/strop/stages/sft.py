"""Supervised fine-tuning on a mixture of conversations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from strop.data.keys import files_digest
from strop.rewards.kinds import load_function
from strop.stages._settings import TrainingStage
from strop.stages.base import Context, StageResult, register
from strop.train.settings import SftTrainSettings

if TYPE_CHECKING:
    from strop.config.recipe import Recipe


@register("sft")
class SftStage(TrainingStage):
    """Cross-entropy on the assistant's tokens; the result goes to ``model`` in the stage's folder."""

    kind: Literal["sft"]
    objective: str | None = Field(
        None,
        description="A loss of your own instead of cross-entropy: module:function or file.py:function, which gives the "
        "loss of each trained token from the policy's outputs and the batch.",
    )
    train: SftTrainSettings = Field(default_factory=SftTrainSettings, description="The training loop's settings.")

    @model_validator(mode="after")
    def _one_loss(self) -> SftStage:
        for name in ("label_smoothing", "z_loss", "dft", "aux_loss"):
            if self.objective and getattr(self.train, name):
                raise ValueError(f"train.{name} is of cross-entropy, and objective takes its place; leave one out.")
        if self.objective and not all(self.objective.rpartition(":")):
            raise ValueError(f"objective: {self.objective!r} names no function; write file.py:function.")
        return self

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        file = Path((self.objective or "").rpartition(":")[0])
        own = {"objective_file": files_digest([file])} if file.is_file() else {}
        return super().inputs(recipe) | own

    def preflight(self, context: Context) -> None:
        super().preflight(context)
        if self.objective:
            load_function(self.objective, "outputs", "batch")

    def run(self, context: Context) -> StageResult:
        from strop.stages._sft import FineTuning

        return FineTuning(self, context).run()
