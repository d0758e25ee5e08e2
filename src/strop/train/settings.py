"""Settings of the training loop."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainSettings(BaseModel):
    """One training stage."""

    model_config = ConfigDict(extra="forbid")

    epochs: float = Field(1.0, gt=0, description="Passes over the data; fractions are allowed.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many optimiser steps.")
    global_batch_size: int = Field(16, ge=1, description="Sequences per optimiser step, over all ranks.")
    micro_batch_tokens: int = Field(2048, ge=1, description="Tokens per flat row, that is, per forward pass.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate.")
    warmup_ratio: float = Field(0.05, ge=0, lt=1, description="Share of the steps spent on linear warm-up.")
    min_lr_ratio: float = Field(0.1, ge=0, le=1, description="Floor of the cosine decay, as a share of the peak.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay on matrices.")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW first-moment decay.")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW second-moment decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this global 2-norm.")
    reduction: Literal["token_mean", "seq_mean", "seq_sum"] = Field("token_mean", description="Reduction of the loss.")
    eval_every: int | None = Field(None, ge=1, description="Steps between evaluation losses; also at both ends.")
    checkpoint_every: int | None = Field(None, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(1, ge=1, description="Newest checkpoints to keep.")
    gradient_checkpointing: bool = Field(False, description="Compute activations again in the backward pass.")
    seed: int = Field(0, ge=0, description="Seed of the data order.")
