"""Reinforcement learning: answers to prompts are sampled, graded, and made more or less likely."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from strop.common.errors import InputError
from strop.environments.base import PART, Environment, EnvironmentField
from strop.model.settings import LoraSettings
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.rollout.settings import RolloutSettings, WatchSettings
from strop.stages._graded import GradedStage
from strop.stages.base import Context, StageResult, register
from strop.train.settings import RlTrainSettings

if TYPE_CHECKING:
    from strop.config.recipe import Recipe


@register("rl")
class RlStage(GradedStage):
    """The policy gradient on the model's own answers; the result goes to ``model`` in the stage's folder."""

    kind: Literal["rl"]
    rollout: RolloutSettings = Field(default_factory=RolloutSettings, description="How answers are sampled.")
    environment: EnvironmentField | None = Field(
        None, description="What answers between the model's turns: tools, inline, or a kind of a plug-in."
    )
    objective: PolicyGradientSettings = Field(
        default_factory=PolicyGradientSettings,
        description="How rewards become a gradient.",
    )
    watch: WatchSettings = Field(default_factory=WatchSettings, description="Alarms.")
    train: RlTrainSettings = Field(default_factory=RlTrainSettings, description="The training loop's settings.")
    lora: LoraSettings | None = Field(
        None, description="Train low-rank adapters, and merge them; by default all weights."
    )
    trains: ClassVar[bool] = True
    if_stopped: ClassVar[str] = "steps since its newest checkpoint (if any) are done again by the same command"

    @model_validator(mode="after")
    def _works_together(self) -> RlStage:
        self.objective.check_group_size(self.rollout.group_size)
        for name in ("top_p", "top_k", "min_p"):
            if getattr(self.rollout, name) != type(self.rollout).model_fields[name].default:
                raise ValueError(
                    f"rollout.{name} would let the sampler draw from another distribution than the one that is "
                    "trained, whose log-probabilities the objective needs as they are; leave it out, and use "
                    "temperature."
                )
        if self.environment and PART in self.rewards:
            raise ValueError(f"rewards.{PART} is what the environment's own reward is called; give it another name.")
        if self.lora and self.lora.dropout:
            raise ValueError("lora.dropout would make the trained policy another one than the sampler; leave it out.")
        return self

    def check(self, recipe: Recipe) -> None:
        """Another engine would sample from other weights than those that are trained, or from rounded ones."""
        if (engine := recipe.rollout.arithmetic) != "torch":
            raise ValueError(
                f"samples with the trainer's own weights alone, and the recipe's rollout says {engine}; leave it out "
                "here, and evaluate with it in a recipe of its own."
            )

    def profiled(self) -> RlStage:
        return self.model_copy(update={"train": self.train.model_copy(update={"profile": True})})

    @property
    def plays(self) -> Environment | None:
        return self.environment

    @property
    def seed(self) -> int:
        return self.train.seed

    def preflight(self, context: Context) -> None:
        from strop.model.lora import add_lora
        from strop.model.preflight import check_training, outline
        from strop.stages._rl import check_rollouts

        at, device = f"stages.{context.name}", context.compute.device
        if self.train.offload_optimizer and device.type == "cpu":
            raise InputError(f"{at}.train.offload_optimizer: this run computes on {device}; leave it out.")
        check_training(context.model, self.lora, context.recipe.chat.max_length, device, at)
        if self.lora:
            add_lora(outline(context.model), self.lora)  # what peft itself refuses, on a model without weights
        check_rollouts(self, context)

    def run(self, context: Context) -> StageResult:
        from strop.stages._rl import reinforce

        return reinforce(self, context)
