"""What a student minimises; works without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DistillationSettings(BaseModel):
    """How far the student's distribution is from the teacher's; see `strop.objectives.distillation`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    divergence: Literal["forward", "reverse"] = Field(
        "forward",
        description="forward: KL(teacher‖student), all that the teacher does; reverse: KL(student‖teacher), nothing "
        "that it does not.",
    )
    top_k: int = Field(64, ge=1, description="Likeliest tokens of the teacher that are compared; the rest is one more.")
    temperature: float = Field(1.0, gt=0, description="What divides both models' logits; the loss times its square.")
    sft_weight: float = Field(0.0, ge=0, description="Weight of -log π per token of the data's own answers.")
