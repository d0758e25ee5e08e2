"""Reward models: a score for every answer, learnt from pairs or from scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from strop.chat.answers import Content
from strop.objectives.preference_settings import RewardLossSettings
from strop.stages._settings import TrainingStage
from strop.stages.base import Context, StageResult, register
from strop.stages.preference import check_chat
from strop.train.settings import TrainSettings

if TYPE_CHECKING:
    from strop.config.recipe import Recipe


class RewardTrainSettings(TrainSettings):
    """The loop's settings with the rate that reward models want."""

    learning_rate: float = Field(1e-5, gt=0, description="Peak learning rate; of adapters ten times that is usual.")


@register("reward_model")
class RewardModelStage(TrainingStage):
    """A sequence-classification model with one score; the stages after it go on with the model that it was given."""

    kind: Literal["reward_model"]
    objective: RewardLossSettings = Field(default_factory=RewardLossSettings, description="What is minimised.")
    train: RewardTrainSettings = Field(default_factory=RewardTrainSettings, description="The training loop's settings.")
    scores: ClassVar[bool] = True
    hands_on: ClassVar[bool] = False

    @property
    def content(self) -> Content:
        return "scored" if self.objective.type == "regression" else "pairs"

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        check_chat(recipe)

    def run(self, context: Context) -> StageResult:
        from strop.stages._reward_model import RewardTraining

        return RewardTraining(self, context).run()
