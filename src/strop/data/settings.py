"""Settings of where the data of a stage comes from."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator


class DataSettings(BaseModel):
    """One part of a mixture: a file, or what a named task or built-in set offers for training."""

    model_config = ConfigDict(extra="forbid")

    path: Path | None = Field(None, description="A .jsonl file of conversations, one JSON object per line.")
    task: str | None = Field(None, description="A named set instead of a file, e.g. code_basics or general_chat.")
    count: int | None = Field(None, ge=1, description="How many conversations: the first of a file, or generated.")
    seed: int = Field(0, ge=0, description="Seed of a generated set.")

    @model_validator(mode="after")
    def _one_origin(self) -> DataSettings:
        if (self.path is None) == (self.task is None):
            raise ValueError("give either `path` (a file) or `task` (a named set).")
        return self
