"""Distillation: a student learns a teacher's distributions, on the data's answers or on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from strop.common.errors import InputError
from strop.common.files import folder_stamp
from strop.objectives.distillation_settings import DistillationSettings
from strop.stages._settings import TrainingStage
from strop.stages.base import Context, StageResult, register
from strop.train.settings import TrainSettings

if TYPE_CHECKING:
    from strop.config.recipe import Recipe


class OwnAnswerSettings(BaseModel):
    """How the student's own answers are sampled; no gradient goes through that, so any temperature will do."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    max_tokens: int = Field(256, ge=1, description="Longest answer, in tokens.")
    temperature: float = Field(1.0, ge=0, description="Logits are divided by it in sampling; 0 is greedy.")


@register("distill")
class DistillStage(TrainingStage):
    """The student's next-token distributions become a teacher's, which has the same tokens."""

    kind: Literal["distill"]
    teacher: str = Field(description="Folder, run folder or hub id of the model to learn from.")
    objective: DistillationSettings = Field(default_factory=DistillationSettings, description="What is minimised.")
    on_policy: float = Field(
        0.0, ge=0, le=1, description="Share of the answers that the student samples itself, to the data's prompts."
    )
    rollout: OwnAnswerSettings = Field(default_factory=OwnAnswerSettings, description="How it samples them.")
    train: TrainSettings = Field(default_factory=TrainSettings, description="The training loop's settings.")

    @model_validator(mode="after")
    def _works_together(self) -> DistillStage:
        if not self.on_policy and self.rollout != OwnAnswerSettings():
            raise ValueError("rollout would not be read: set on_policy above 0, or leave rollout out.")
        if self.on_policy == 1 and self.objective.sft_weight:
            raise ValueError(
                "objective.sft_weight is for the data's own answers, and with on_policy: 1 none is learnt from; lower "
                "on_policy, or leave sft_weight out."
            )
        if self.on_policy and self.lora and self.lora.dropout:
            raise ValueError("lora.dropout would make the trained student another one than the sampler; leave it out.")
        return self

    def check(self, recipe: Recipe) -> None:
        if recipe.chat.train_on == "all" and self.on_policy:
            raise ValueError("chat.train_on: all trains the prompt, which nobody samples; set on_policy: 0.")
        if self.on_policy and (engine := recipe.rollout.arithmetic) != "torch":
            raise ValueError(
                f"samples with the student's own weights alone, and the recipe's rollout says {engine}; leave it out."
            )

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        from strop.model.names import resolve

        try:
            folder = resolve(self.teacher)
        except InputError as error:
            raise InputError(f"teacher: {error}") from error
        return super().inputs(recipe) | {"teacher_files": folder_stamp(folder)}

    def preflight(self, context: Context) -> None:
        from strop.model.names import resolve
        from strop.model.preflight import check_training
        from strop.stages._distill import check_teacher

        super().preflight(context)
        at = f"stages.{context.name}.teacher"
        check_training(resolve(self.teacher), None, context.recipe.chat.max_length, context.compute.device, at)
        check_teacher(self.teacher, context)

    def run(self, context: Context) -> StageResult:
        from strop.stages._distill import DistillTraining

        return DistillTraining(self, context).run()
