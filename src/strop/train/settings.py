"""Settings of training: what the loop reads, what the optimiser reads, and what every training stage has.

A stage kind composes them with its own loss (`SftTrainSettings`): a recipe's ``train`` stays flat, and a setting that
the stage would not read is refused.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from strop.common.alarms import Answer
from strop.objectives.settings import SftLossSettings

Optimizer = Literal["adamw", "muon", "adafactor", "adamw_8bit"]
Schedule = Literal["constant", "linear", "cosine", "wsd", "minimind"]
KINDS = ("embedding", "head", "matrices", "vectors")


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class GroupSettings(_Settings):
    """Tensors that are trained otherwise than the rest; the first group that matches a tensor takes it."""

    match: str = Field(
        description="`embedding`, `head`, `matrices`, `vectors` (norms and biases), or a regular expression that is "
        "found in the tensor's name."
    )
    learning_rate: float | None = Field(None, ge=0, description="Peak learning rate of these tensors.")
    lr_scale: float | None = Field(None, ge=0, description="Or: their share of the stage's learning_rate.")
    weight_decay: float | None = Field(None, ge=0, description="Decoupled weight decay, whatever their kind.")
    optimizer: Optimizer | None = Field(None, description="Another optimiser for these tensors.")

    @field_validator("match")
    @classmethod
    def _is_a_pattern(cls, match: str) -> str:
        try:
            re.compile(match)
        except re.error as error:
            raise ValueError(f"{match!r} is no regular expression ({error}); name one of {', '.join(KINDS)}.") from None
        return match

    @model_validator(mode="after")
    def _says_something(self) -> GroupSettings:
        if self.learning_rate is not None and self.lr_scale is not None:
            raise ValueError(f"group {self.match!r}: give learning_rate or lr_scale, not both.")
        if all(v is None for v in (self.learning_rate, self.lr_scale, self.weight_decay, self.optimizer)):
            raise ValueError(f"group {self.match!r}: give learning_rate, lr_scale, weight_decay or optimizer.")
        return self


class StepSettings(_Settings):
    """How steps are computed, looked at and kept, whatever gives them."""

    micro_batch_tokens: int = Field(2048, ge=1, description="Tokens per flat row, that is, per forward pass.")

    eval_every: int | None = Field(None, ge=1, description="Steps between evaluation losses; also at both ends.")
    tasks: dict[str, dict[str, Any]] = Field(
        {},
        description="Which of the recipe's evals are measured while training, with what is to be another way than "
        "there: [mmlu], or {mmlu: {count: 200}}.",
    )
    tasks_every: int | None = Field(None, ge=1, description="Steps between measurements of tasks; also at both ends.")
    keep_best: str | None = Field(
        None,
        description="The stage's model is that of the step where this is best: eval_loss, or a metric of tasks. By "
        "default that of the last step.",
    )
    checkpoint_every: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        "auto",
        description="Steps between checkpoints; auto: every 10 minutes and at the end of each epoch; null: none but "
        "where a signal stops the run.",
    )
    keep_last: int = Field(
        1,
        ge=1,
        validation_alias=AliasChoices("keep_last", "keep_checkpoints"),
        description="Newest checkpoints to keep; also called keep_checkpoints.",
    )
    keep_every: int | None = Field(
        None, ge=1, description="A checkpoint of every so many steps is written too, and kept for good."
    )
    checkpoint_in_background: bool = Field(
        True,
        description="Write checkpoints while training goes on: takes the memory of the trained weights and the "
        "optimiser's state a second time for as long as that lasts.",
    )
    resume: Literal["auto", "none"] | Path = Field(
        "auto",
        description="auto: a stage that was cut off goes on from its newest checkpoint that is whole; none: it begins "
        "anew; a path (a checkpoint, or a stage's folder): from there.",
    )
    max_hours: float | None = Field(
        None, gt=0, description="Stop, with a checkpoint, before the stage has run so long; the same command goes on."
    )
    watchdog_minutes: float | None = Field(
        60,
        gt=0,
        description="With nothing got on for so long (no row, no generated token, no graded answer) the run writes "
        "where it hangs to stacks.txt and ends with exit code 1; null: it waits for ever.",
    )
    max_bad_steps: int = Field(
        3,
        ge=1,
        description="Steps in a row whose loss or gradient is no finite number: each is skipped, and with so many "
        "the run does what on_bad_steps says.",
    )
    on_bad_steps: Literal["stop", "rollback"] = Field(
        "stop", description="rollback: back to the last good checkpoint, and on with other data and a lower rate."
    )
    max_rollbacks: int = Field(2, ge=1, description="How often a run may go back for that; then it stops.")
    rollback_lr: float = Field(
        0.5, gt=0, le=1, description="Learning rates are multiplied by this each time that the run goes back for that."
    )
    gradient_checkpointing: bool | int = Field(
        False, description="Compute activations again in the backward pass: of all blocks, or of every n-th."
    )
    compile: Literal["auto"] | bool = Field("auto", description="Compile the blocks of the model; auto: on CUDA.")
    profile: bool = Field(False, description="Trace one step into the stage's folder (trace.json).")
    seed: int = Field(0, ge=0, lt=2**44, description="Seed of the data order and of the noise.")

    @property
    def goes_back(self) -> bool:
        """Whether the run may roll back, and so needs a checkpoint from its beginning on."""
        return self.on_bad_steps == "rollback"

    @model_validator(mode="after")
    def _may_go_back(self) -> StepSettings:
        """A setting that nothing would read is a mistake."""
        fields = type(self).model_fields
        for name in ("max_rollbacks", "rollback_lr"):
            if not self.goes_back and getattr(self, name) != fields[name].default:
                alarm = " or alarm: rollback" if "alarm" in fields else ""
                raise ValueError(
                    f"{name}: the run never goes back; set on_bad_steps: rollback{alarm}, or leave {name} out."
                )
        return self

    @field_validator("tasks", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            value = dict.fromkeys(value)
        if isinstance(value, dict):
            return {name: {} if given is None else given for name, given in value.items()}
        raise ValueError("name tasks of the recipe's evals: [mmlu], or {mmlu: {count: 200}}.")

    @model_validator(mode="after")
    def _tasks_are_named(self) -> StepSettings:
        if self.tasks_every is not None and not self.tasks:
            raise ValueError("tasks_every: no task is named; say which of the evals: tasks: [NAME], or leave it out.")
        return self

    @field_validator("gradient_checkpointing", mode="before")
    @classmethod
    def _every(cls, value: Any) -> Any:
        if isinstance(value, bool) or (isinstance(value, int) and value >= 1):
            return value
        raise ValueError("give true, false, or n (at least 1) for every n-th block.")

    @field_validator("compile", mode="before")
    @classmethod
    def _whether(cls, value: Any) -> Any:
        if value == "auto" or isinstance(value, bool):
            return value
        raise ValueError("give auto, true or false.")


class WalkSettings(_Settings):
    """How data is walked through."""

    epochs: float = Field(1.0, gt=0, description="Passes over the data; fractions are allowed.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many optimiser steps.")
    global_batch_size: int = Field(16, ge=1, description="Sequences per optimiser step, over all ranks.")


class LoopSettings(StepSettings, WalkSettings):
    """What the loop and a source of data read."""

    loss_spike: float | None = Field(
        6.0,
        gt=0,
        description="Alarm: the loss is so many standard deviations above the mean of the last 50 steps, and a fifth "
        "above it; null: none.",
    )
    alarm: Answer = Field(
        "warn",
        description="What an alarm does. stop: end the run, with a checkpoint; rollback: back to the newest checkpoint "
        "from before, and on with other data and a lower rate.",
    )

    @property
    def goes_back(self) -> bool:
        return super().goes_back or self.alarm == "rollback"

    @model_validator(mode="after")
    def _has_an_alarm(self) -> LoopSettings:
        if self.alarm != "warn" and self.loss_spike is None:
            raise ValueError(
                f"alarm: {self.alarm} would not be read, as loss_spike: null raises none; give loss_spike, or leave "
                "alarm out."
            )
        return self


class OptimizerSettings(_Settings):
    """How a step changes the weights."""

    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate.")
    init_lr_frac: float = Field(
        1.0, gt=0, le=1, description="Every learning rate is multiplied by this: SFT with the rates of pre-training."
    )
    schedule: Schedule = Field(
        "cosine",
        description="Course of the learning rate after warm-up; wsd: stable, then a decay at the end; minimind: cosine "
        "over all steps, without warm-up.",
    )
    warmup_ratio: float = Field(0.05, ge=0, lt=1, description="Share of the steps spent on linear warm-up.")
    warmup_steps: int | None = Field(None, ge=0, description="Or: optimiser steps of warm-up.")
    min_lr_ratio: float = Field(0.1, ge=0, le=1, description="Floor of the decay, as a share of the peak.")
    decay_ratio: float = Field(0.2, gt=0, le=1, description="wsd: share of the steps spent on the decay.")
    decay_shape: Literal["linear", "1-sqrt"] = Field("linear", description="wsd: shape of the decay.")

    optimizer: Optimizer = Field(
        "adamw", description="muon: matrices by Muon, all else by AdamW; adafactor: a learning_rate of 1e-3 is usual."
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay on matrices and the head.")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW first-moment decay.")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW second-moment decay.")
    epsilon: float = Field(1e-8, gt=0, description="AdamW: added to the root of the second moment.")
    muon_momentum: float = Field(0.95, ge=0, lt=1, description="Muon: momentum (Nesterov).")
    muon_scale: Literal["match_rms_adamw", "original"] = Field(
        "match_rms_adamw", description="Muon: update size like AdamW's, so that one learning rate serves both."
    )
    groups: list[GroupSettings] = Field(default_factory=list, description="Tensors with settings of their own.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this global 2-norm.")
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="Average of the weights over steps, used for evaluation and saving."
    )
    offload_optimizer: bool = Field(
        False,
        description="Keep float32 weights, gradients and the optimiser's state in the host's memory, not a GPU's.",
    )

    @property
    def optimizers(self) -> set[str]:
        """The optimisers that the settings name; Muon brings AdamW for what it does not take."""
        named = {self.optimizer, *(g.optimizer for g in self.groups if g.optimizer)}
        return named | ({"adamw"} if "muon" in named else set())

    @model_validator(mode="after")
    def _optimizer_works_together(self) -> OptimizerSettings:
        """A setting that nothing would read is a mistake, and so are two that contradict each other."""
        adam = self.optimizers & {"adamw", "adamw_8bit"}
        for read, mend, *names in (
            ("muon" in self.optimizers, "set optimizer: muon", "muon_momentum", "muon_scale"),
            (adam, "set optimizer: adamw", "beta1", "beta2", "epsilon"),
            (self.schedule == "wsd", "set schedule: wsd", "decay_ratio", "decay_shape"),
            (self.schedule != "constant", "choose another schedule than constant", "min_lr_ratio"),
            (self.schedule != "minimind", "schedule: minimind has no warm-up", "warmup_ratio", "warmup_steps"),
            (self.warmup_steps is None, "give warmup_steps or warmup_ratio, not both", "warmup_ratio"),
        ):
            for name in names:  # a complete config holds the defaults as well
                if not read and getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} would not be read: {mend}, or leave {name} out.")
        if self.schedule == "wsd" and self.warmup_steps is None and self.warmup_ratio + self.decay_ratio > 1 + 1e-9:
            raise ValueError(
                f"warmup_ratio {self.warmup_ratio:g} and decay_ratio {self.decay_ratio:g} are more than all steps; "
                "lower one of them."
            )
        return self


class TrainSettings(OptimizerSettings, LoopSettings):
    """What every stage has that trains on data, whatever it minimises."""


class RlTrainSettings(OptimizerSettings, StepSettings):
    """Reinforcement learning: the source has no end, and rates are lower."""

    max_steps: int = Field(200, ge=1, description="Optimiser steps.")
    eval_every: None = Field(None, description="There is no evaluation loss here: measure tasks.")
    learning_rate: float = Field(
        1e-6,
        gt=0,
        description="Peak learning rate; 1e-6 is usual of all weights, 1e-5 to 1e-4 of adapters.",
    )
    schedule: Schedule = Field(
        "constant", description="Course of the learning rate after warm-up; wsd: stable, then a decay at the end."
    )


class SftTrainSettings(SftLossSettings, TrainSettings):
    """Supervised fine-tuning."""


Parallel = Literal["auto", "replicate", "shard"]
"""How several ranks hold what is trained: each all of it, or each a part."""


def unshardable(settings: OptimizerSettings, quantised: bool) -> str:
    """Why the state of a training cannot be shared out among ranks, with the setting to change; empty where it can."""
    here = version("torch")
    if tuple(int(part) for part in here.split(".")[:2]) < (2, 13):  # a rank with nothing to train would be waited for
        return f"sharing weights out among ranks needs torch 2.13, and this is {here}; install it"
    whole = sorted(settings.optimizers & {"muon", "adafactor"})
    if whole:
        return f"train.optimizer: {whole[0]} needs whole matrices; take adamw or adamw_8bit"
    if settings.offload_optimizer:
        return "train.offload_optimizer keeps the optimiser's state in the host's memory; leave it out"
    return "lora.quantize packs weights, which are not cut up; leave it out" if quantised else ""


def check_shards(parallel: Parallel, settings: OptimizerSettings, lora: Any) -> None:
    """Raises ValueError for what ``compute.parallel: shard`` cannot do."""
    why = unshardable(settings, bool(lora and lora.quantize))
    if parallel == "shard" and why:
        raise ValueError(f"{why}, or set compute.parallel=replicate.")
