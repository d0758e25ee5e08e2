"""Reinforcement learning: answers to prompts are sampled, graded, and made more or less likely."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from strop.common.errors import InputError
from strop.common.files import folder_stamp
from strop.model.settings import LoraSettings
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.rollout.settings import RolloutSettings, WatchSettings
from strop.stages._evals import check_in_training, check_tasks, task_inputs, task_paths, tasks_in_training
from strop.stages._graded import GradedStage
from strop.stages.base import Context, StageResult, register
from strop.train.settings import RlTrainSettings, check_shards

if TYPE_CHECKING:
    from strop.config.recipe import Recipe


class CriticSettings(BaseModel):
    """A model of its own for the values, trained beside the policy."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    separate: bool = Field(False, description="A copy of the policy as the stage begins.")
    model: str | None = Field(None, description="Or another model with the same tokens, say the reward model.")

    @model_validator(mode="after")
    def _one_of_both(self) -> CriticSettings:
        if self.separate == (self.model is not None):
            raise ValueError("give separate: true (a copy of the policy), or model: a folder; not both.")
        return self


@register("rl")
class RlStage(GradedStage):
    """The policy gradient on the model's own answers; the result goes to ``model`` in the stage's folder."""

    kind: Literal["rl"]
    rollout: RolloutSettings = Field(default_factory=RolloutSettings, description="How answers are sampled.")
    objective: PolicyGradientSettings = Field(
        default_factory=PolicyGradientSettings,
        description="How rewards become a gradient.",
    )
    critic: CriticSettings | None = Field(
        None, description="gae: values of a model of its own; by default of a linear head on the policy."
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
        self._check_spread()
        self._check_watch()
        if self.critic and not self.objective.uses_values:
            raise ValueError("critic would not be read: set objective.preset=ppo (advantage: gae), or leave it out.")
        if self.lora and self.lora.dropout:
            raise ValueError("lora.dropout would make the trained policy another one than the sampler; leave it out.")
        return self

    def _check_spread(self) -> None:
        """Raise ValueError for what is about dropped groups, or groups without spread, where it would not be right."""
        rollout, within = self.rollout, self.objective.within_groups
        how = f"advantage: {self.objective.advantage} learns from groups whose rewards are all equal too"
        if rollout.no_spread == "drop" and not within:
            raise ValueError(
                f"rollout.no_spread: drop would throw away what teaches: {how}; leave it out, or set "
                "objective.advantage to group_mean or leave_one_out."
            )
        if not within and self.watch.no_spread not in (None, type(self.watch).model_fields["no_spread"].default):
            raise ValueError(f"watch.no_spread would not be read: {how}; leave it out.")
        never = rollout.no_spread == "keep" and self.objective.truncated != "mask" and not self.grading.max_failed
        if rollout.refill and never:
            raise ValueError(
                "rollout.refill would never act, as no group is ever dropped: set rollout.no_spread=drop, or leave "
                "refill out."
            )

    def _check_watch(self) -> None:
        """Raise ValueError for an alarm that was asked for and could never be raised. What is as by default was not: a
        run's own config.yaml says everything."""
        watch = self.watch
        blind = {
            "kl": (not self.objective.uses_reference, "without objective.kl_coef nothing is compared with a reference"),
            "overoptimization": (not self.train.tasks, "train.tasks names no held-out task to measure"),
            "max_rollbacks": (watch.alarm != "rollback", f"watch.alarm is {watch.alarm}"),
        }
        for name, (never, why) in blind.items():
            if never and getattr(watch, name) not in (None, type(watch).model_fields[name].default):
                raise ValueError(f"watch.{name} would not be read: {why}; set that, or leave watch.{name} out.")

    @property
    def per_step(self) -> tuple[str, int] | None:
        return "rollout.prompts_per_step", self.rollout.prompts_per_step

    def samples_apart(self, recipe: Recipe) -> bool:
        """Whether other weights or another program sample than are trained."""
        return bool(self.rollout.staleness) or recipe.rollout.engine != "torch"

    def check(self, recipe: Recipe) -> None:
        """Rounded weights are another model's, which nothing is to be trained on."""
        super().check(recipe)
        if recipe.rollout.int8:
            raise ValueError(
                "samples with the weights that are trained, and the recipe's rollout says int8; leave it out here, and "
                "evaluate with it in a recipe of its own."
            )
        if self.rollout.sampler_threads is not None and recipe.rollout.engine != "torch":
            raise ValueError("rollout.sampler_threads are those of engine torch; leave them out beside vLLM.")
        if not self.samples_apart(recipe) and self.objective.correction == "auto":
            for name in ("correction_level", "correction_cap"):
                if getattr(self.objective, name) != type(self.objective).model_fields[name].default:
                    raise ValueError(
                        f"objective.{name} would not be read: the weights that are trained sample themselves, and "
                        f"correction: auto does nothing then; set rollout.staleness=1, or leave {name} out."
                    )
        check_shards(recipe.compute.parallel, self.train, self.lora)
        check_in_training(self.train, recipe, has_loss=False)

    def local_data(self, recipe: Recipe) -> Iterator[Path]:
        yield from super().local_data(recipe)
        yield from (path for _, path in task_paths(tasks_in_training(self.train, recipe)))

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        from strop.model.names import resolve

        found = super().inputs(recipe) | {"tasks": task_inputs(tasks_in_training(self.train, recipe))}
        if self.critic is None or self.critic.model is None:
            return found
        try:
            return found | {"critic_files": folder_stamp(resolve(self.critic.model))}
        except InputError as error:
            raise InputError(f"critic.model: {error}") from error

    def check_verb(self, verb: str) -> None:
        right = "ppo" if self.objective.uses_values else "grpo"
        if verb in ("grpo", "ppo") and verb != right:
            has = "learns values" if right == "ppo" else "learns no values"
            raise ValueError(
                f"objective: {self.objective.preset} with advantage {self.objective.advantage} {has}, which is "
                f"`strop {right}`; use that, or leave the setting out."
            )

    def profiled(self) -> RlStage:
        return self.model_copy(update={"train": self.train.model_copy(update={"profile": True})})

    @property
    def resume(self) -> str | Path:
        return self.train.resume

    @property
    def seed(self) -> int:
        return self.train.seed

    def preflight(self, context: Context) -> None:
        from strop.model.lora import add_lora
        from strop.model.merged import check_mergeable
        from strop.model.preflight import check_training, outline
        from strop.stages._critic import check_critic
        from strop.stages._rl import check_rollouts
        from strop.train.groups import check_groups
        from strop.train.schedule import check_schedule

        check_schedule(self.train.max_steps, self.train)
        at, device = f"stages.{context.name}", context.compute.device
        if self.train.offload_optimizer and device.type == "cpu":
            raise InputError(f"{at}.train.offload_optimizer: this run computes on {device}; leave it out.")
        check_training(context.model, self.lora, context.recipe.chat.max_length, device, at)
        if self.lora:
            adapters = add_lora(outline(context.model), self.lora)  # what peft refuses, on a model without weights
            if context.recipe.rollout.engine == "vllm":
                check_mergeable(adapters.network)
        elif self.train.groups and not self.objective.uses_values:  # values are trained beside the model
            check_groups(outline(context.model), self.train, f"{at}.train")
        check_critic(self, context)
        check_rollouts(self, context)
        check_tasks(self.train, context)

    def run(self, context: Context) -> StageResult:
        from strop.stages._rl import reinforce

        return reinforce(self, context)
