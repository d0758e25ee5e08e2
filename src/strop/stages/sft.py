"""Supervised fine-tuning on a mixture of conversations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from strop.stages._settings import TrainingStage
from strop.stages.base import Context, StageResult, register
from strop.train.settings import SftTrainSettings


@register("sft")
class SftStage(TrainingStage):
    """Cross-entropy on the assistant's tokens; the result goes to ``model`` in the stage's folder."""

    kind: Literal["sft"]
    train: SftTrainSettings = Field(default_factory=SftTrainSettings, description="The training loop's settings.")

    def run(self, context: Context) -> StageResult:
        from strop.stages._sft import FineTuning

        return FineTuning(self, context).run()
