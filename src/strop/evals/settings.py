"""What a recipe may say of its evaluations."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

CHAT_LOSS = "general_chat"
"""The evaluation that measures the loss on conversations; all others ask for programs."""
EVAL_TASKS = ("code_basics", "humaneval", CHAT_LOSS)


class EvalTaskSettings(BaseModel):
    """How one task is measured."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    path: Path | None = Field(None, description="A .jsonl of problems with tests, instead of a built-in task.")
    count: int | None = Field(None, ge=1, description="How many items; by default all, or 96 generated ones.")
    seed: int = Field(0, ge=0, description="Seed of generated items.")
    max_tokens: int = Field(256, ge=1, description="Longest answer, in tokens.")
