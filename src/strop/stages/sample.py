"""Rejection sampling: the model answers prompts several times, a grader scores the answers, rows to train on remain."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from strop.chat.answers import Content
from strop.rollout.settings import SamplingSettings
from strop.stages._graded import GradedStage
from strop.stages.base import Context, StageResult, register


@register("sample")
class SampleStage(GradedStage):
    """Graded answers of the model as rows of data: ``rows.jsonl`` in the stage's folder."""

    kind: Literal["sample"]
    rollout: SamplingSettings = Field(default_factory=SamplingSettings, description="How answers are sampled.")
    keep: Literal["best", "passing", "all"] = Field(
        "best", description="Of each prompt: the highest reward, every reward of at least threshold, or all answers."
    )
    threshold: float = Field(1.0, description="The reward from which on an answer passes; 1: the task accepts it.")
    # A keyword of Python, so the attribute has another name.
    layout: Literal["conversations", "pairs", "labelled"] = Field(
        "conversations",
        alias="as",
        description="conversations for sft; pairs (against the prompt's worst answer) and labelled for preferences.",
    )
    min_margin: float = Field(0.0, ge=0, description="as: pairs: by how much the chosen answer's reward is higher.")
    most_per_prompt: int | None = Field(None, ge=1, description="Rows of one prompt: the first that were drawn.")
    leaves: ClassVar[str | None] = "rows.jsonl"
    if_stopped: ClassVar[str] = "answers that were given are kept, and the same command goes on from there"

    @model_validator(mode="after")
    def _works_together(self) -> SampleStage:
        if self.layout == "pairs" and self.rollout.group_size == 1:
            raise ValueError("as: pairs compares answers to one prompt, and rollout.group_size is 1; raise it.")
        if self.layout == "labelled" and self.keep == "passing":
            raise ValueError("as: labelled with keep: passing leaves no unwanted answer to learn from; keep all.")
        if self.min_margin and self.layout != "pairs":
            raise ValueError(f"min_margin is of pairs, and these are {self.layout}; drop it, or say as: pairs.")
        if self.most_per_prompt is not None and self.keep == "best":
            raise ValueError("most_per_prompt does nothing beside keep: best; drop it, or keep passing or all.")
        return self

    @property
    def holds(self) -> Content:
        return self.layout

    @property
    def seed(self) -> int:
        return self.rollout.seed

    def preflight(self, context: Context) -> None:
        from strop.stages._prompts import check_prompts

        check_prompts(self, context, self.rollout.max_tokens)

    def run(self, context: Context) -> StageResult:
        from strop.stages._sample import sample

        return context.world.first(lambda: sample(self, context))  # of several ranks the first one alone
