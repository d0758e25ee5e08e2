"""Settings of rollouts: what is asked, how answers are sampled and graded, and what raises an alarm. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from strop.data.settings import check_mix, check_one_origin, part_of


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class PromptSettings(_Settings):
    """Prompts of one origin: a task's items to train on, or rows with a prompt and its ground truth."""

    task: str | None = Field(
        None, description="A task; its own items to train on, none that it measures. gsm8k reads them from a path."
    )
    path: Path | None = Field(None, description="A file of rows, or of problems with tests.")
    hub: str | None = Field(None, description="A data set on the Hugging Face hub, e.g. openai/gsm8k.")
    split: str = Field("train", description="Which split, or slice of one: train[:100].")
    subset: str | None = Field(None, description="The configuration on the hub, or the folder in a folder.")
    revision: str | None = Field(None, description="Commit, tag or branch on the hub.")
    prompt: str | None = Field(
        None,
        description="Column of the prompt (text or messages), taken alone; by default the first of prompt, question, "
        "problem, query, input, instruction and messages, with what training reads beside it.",
    )
    truth: str | None = Field(
        None,
        description="Column of the ground truth, a dot goes inside; by default answer, ground_truth, "
        "reward_model.ground_truth, solution or target.",
    )
    count: int | None = Field(None, ge=1, description="How many: the first of a file, or generated.")
    seed: int = Field(0, ge=0, description="Seed of generated items.")
    weight: float = Field(1.0, gt=0, description="Share of the prompts under mix: weights.")
    epochs: float = Field(1.0, gt=0, description="How often it is taken within one epoch under mix: concatenate.")
    name: str | None = Field(None, description="What messages call it.")

    @model_validator(mode="after")
    def _one_origin(self) -> PromptSettings:
        check_one_origin(self.path, self.hub, self.task, None)
        if self.hub is None and self.revision is not None:
            raise ValueError("`revision` is of a data set on the hub; drop it or give `hub`.")
        if self.task is not None and (self.prompt or self.truth or self.subset or self.split != "train"):
            raise ValueError("a task has neither prompt, truth, split nor subset; drop them.")
        return self

    @property
    def title(self) -> str:
        return self.name or str(self.task or self.path or self.hub)


class PromptMixtureSettings(_Settings):
    """Origins of prompts and how an epoch is made of them, as in a mixture of conversations."""

    parts: list[PromptSettings] = Field(min_length=1, description="The parts, in any order.")
    mix: Literal["concatenate", "weights"] = Field(
        "concatenate", description="Whether an epoch is every part in full, or prompts by the parts' weights."
    )
    total: int | None = Field(None, ge=1, description="Prompts in an epoch under mix: weights.")

    @model_validator(mode="after")
    def _meant_for_the_mix(self) -> PromptMixtureSettings:
        check_mix(self.mix, self.parts, self.total)
        return self


def _as_mixture(value: Any) -> Any:
    one = isinstance(value, dict) and "parts" not in value and value.keys() & {"path", "hub", "task"}
    if one or isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        return {"parts": [part_of(part) if isinstance(part, str) else part for part in value]}
    return value


PromptField = Annotated[PromptMixtureSettings, BeforeValidator(_as_mixture)]
"""What ``data`` of an rl stage may say: a part, a list of them, or the parts and how they are mixed."""


class RolloutSettings(_Settings):
    """How answers are sampled, and which of them are trained on."""

    prompts_per_step: int = Field(16, ge=1, description="Prompts in a batch of rollouts.")
    group_size: int = Field(8, ge=1, description="Answers to each prompt.")
    max_tokens: int = Field(512, ge=1, description="Longest answer, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Logits are divided by it, in sampling and in training alike.")
    top_p: float = Field(1.0, gt=0, le=1, description="Refused below 1: see docs/rl.md.")
    top_k: int = Field(0, ge=0, description="Refused above 0: see docs/rl.md.")
    min_p: float = Field(0.0, ge=0, le=1, description="Refused above 0: see docs/rl.md.")
    updates_per_rollout: int = Field(
        1, ge=1, description="Passes over each batch of rollouts (PPO's epochs, GRPO's mu)."
    )
    mini_batches: int = Field(1, ge=1, description="Parts of a batch of rollouts, each an optimiser step of a pass.")
    staleness: Literal[0, 1] = Field(
        0, description="1: the next batch is sampled while this one is trained on, by weights one batch older."
    )
    sampler_threads: int | None = Field(
        None, ge=1, description="staleness 1, engine torch: threads of the sampling process; by default half of all."
    )
    no_spread: Literal["keep", "drop"] = Field(
        "keep",
        description="Groups whose rewards are all equal, where answers are compared within groups: their advantages "
        "are 0, so with drop the mean is over the others, and nothing pulls them to the reference either.",
    )
    refill: int = Field(
        0,
        ge=0,
        description="Rounds of further prompts until prompts_per_step groups are there, in the place of those that "
        "were dropped: by no_spread, or as all their answers failed or are masked.",
    )
    keep_every: int | None = Field(
        10, ge=1, description="Every so many batches of rollouts are written to rollouts/, whole; null: none."
    )

    @model_validator(mode="after")
    def _work_together(self) -> RolloutSettings:
        if self.mini_batches > self.prompts_per_step:
            raise ValueError(
                f"mini_batches {self.mini_batches} is more than the {self.prompts_per_step} prompts of a step; "
                "lower it, or raise prompts_per_step."
            )
        if self.sampler_threads is not None and not self.staleness:
            raise ValueError("sampler_threads are those of a second process; set staleness: 1, or leave them out.")
        if self.no_spread == "drop" and self.group_size == 1:
            raise ValueError("no_spread: drop would drop every group of one answer; raise group_size, or keep them.")
        return self


class SamplingSettings(_Settings):
    """How answers are sampled that are kept as data: nothing is trained on their log-probabilities, so filters are
    allowed."""

    group_size: int = Field(8, ge=1, description="Answers to each prompt.")
    max_tokens: int = Field(512, ge=1, description="Longest answer, in tokens.")
    temperature: float = Field(1.0, ge=0, description="Logits are divided by it; 0 is greedy, for one answer alone.")
    top_p: float = Field(1.0, gt=0, le=1, description="The smallest set of likeliest tokens of this probability.")
    top_k: int = Field(0, ge=0, description="So many likeliest tokens; 0: all.")
    min_p: float = Field(0.0, ge=0, le=1, description="Tokens at least this times as likely as the likeliest.")
    seed: int = Field(0, ge=0, description="What is drawn depends on it, the prompt's name and the answer's number.")

    @model_validator(mode="after")
    def _draws_differ(self) -> SamplingSettings:
        if self.temperature == 0 and self.group_size > 1:
            raise ValueError(
                f"temperature 0 gives the same answer {self.group_size} times; raise it, or set group_size to 1."
            )
        return self


class GradingSettings(_Settings):
    """How rewards are computed, and how often they may fail."""

    seconds: float = Field(60.0, gt=0, description="Time that a reward may take for the answers to one prompt.")
    workers: int = Field(2, ge=1, description="Processes for rewards that are functions or patterns.")
    max_failed: float = Field(
        0.1, ge=0, le=1, description="Share of a batch's answers without a reward above which the run stops."
    )


class WatchSettings(_Settings):
    """Alarms about a run that goes wrong; each is looked at with every batch of rollouts, null turns it off.

    "At first" means the mean of the first ``first`` batches. An alarm is raised when what it watches is so for
    ``patience`` batches in a row.
    """

    alarm: Literal["warn", "stop", "rollback"] = Field(
        "warn",
        description="stop: end the run, with a checkpoint; rollback: back to the newest checkpoint of the time before, "
        "and on from there with other prompts.",
    )
    max_rollbacks: int = Field(2, ge=1, description="How often a run may go back; then an alarm ends it.")
    first: int = Field(5, ge=1, description="Batches of rollouts whose mean is what later ones are compared with.")
    patience: int = Field(3, ge=1, description="Batches in a row before an alarm is raised.")
    constant_answers: float | None = Field(0.9, gt=0, le=1, description="Share of all answers that are the same text.")
    entropy_collapse: float | None = Field(
        0.1, gt=0, lt=1, description="Entropy below this share of that at first, while the reward is not higher."
    )
    kl: float | None = Field(1.0, gt=0, description="Mean KL from the reference, nats per token.")
    stop_rate: float | None = Field(0.3, gt=0, le=1, description="Fall of the share of answers that end by themselves.")
    truncation: float | None = Field(0.3, gt=0, le=1, description="Rise of the share of answers that are cut off.")
    length: float | None = Field(4.0, gt=1, description="Mean length, so many times longer or shorter than at first.")
    no_spread: float | None = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of groups whose rewards are all equal, where answers are compared within groups.",
    )
    empty_answers: float | None = Field(
        0.5, gt=0, le=1, description="Share of answers without a text, or without a program where one is asked for."
    )
    overoptimization: float | None = Field(
        0.02,
        ge=0,
        description="Certain fall of a metric of train.tasks (0.02 of a rate: 2 points) from where it was best, while "
        "the reward is higher than then.",
    )
    mismatch: float | None = Field(
        0.2, gt=0, description="Mean difference of the sampler's and the trainer's log-probabilities, nats."
    )
