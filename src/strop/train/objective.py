"""The objective that a stage's settings ask for."""

from __future__ import annotations

from strop.objectives.sft import CrossEntropy
from strop.train.settings import TrainSettings


def supervised_objective(settings: TrainSettings) -> CrossEntropy:
    """What supervised fine-tuning minimises."""
    return CrossEntropy(
        settings.reduction,
        constant=settings.loss_constant,
        label_smoothing=settings.label_smoothing,
        dft=settings.dft,
        z_loss=settings.z_loss,
        aux=settings.aux_loss,
    )
