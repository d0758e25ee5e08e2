"""Settings of the objectives; works without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Reduction = Literal["token_mean", "seq_mean", "seq_sum", "constant"]
"""How the losses of tokens become one number; see `strop.objectives.reduction`."""


class SftLossSettings(BaseModel):
    """What supervised fine-tuning minimises; see `strop.objectives.sft`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    reduction: Reduction = Field("token_mean", description="Reduction of the loss.")
    loss_constant: float | None = Field(None, gt=0, description="constant: tokens that a sequence is divided by.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over the vocabulary.")
    z_loss: float = Field(0.0, ge=0, description="Coefficient of the squared log of the softmax's normaliser.")
    dft: bool = Field(False, description="Weight each token's loss by its own probability.")
    aux_loss: float = Field(0.0, ge=0, description="Coefficient of a mixture-of-experts model's balancing loss.")
    neftune_alpha: float = Field(0.0, ge=0, description="Noise on embeddings while training; the paper uses 5 to 15.")

    @model_validator(mode="after")
    def _loss_works_together(self) -> SftLossSettings:
        """A setting that nothing would read is a mistake, and so are two that contradict each other."""
        if self.reduction == "constant" and self.loss_constant is None:
            raise ValueError("reduction: constant divides by loss_constant; give it, say the longest answer in tokens.")
        if self.reduction != "constant" and self.loss_constant is not None:
            raise ValueError("loss_constant would not be read: set reduction: constant, or leave loss_constant out.")
        if self.dft and self.label_smoothing:
            raise ValueError("dft weights a token by its probability, label_smoothing spreads it: choose one of them.")
        return self
