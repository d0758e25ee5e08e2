"""Preference optimisation: DPO and its relatives on chosen and rejected answers, KTO on labelled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from strop.chat.answers import Content
from strop.objectives.preference_settings import PreferenceLossSettings
from strop.stages._settings import TrainingStage
from strop.stages.base import Context, StageResult, register
from strop.train.settings import TrainSettings

if TYPE_CHECKING:
    from strop.config.recipe import Recipe


class PreferenceTrainSettings(TrainSettings):
    """The loop's settings with the rate that preferences want."""

    learning_rate: float = Field(
        1e-6, gt=0, description="Peak learning rate; of all weights 5e-7 to 5e-6 is usual, of adapters ten times that."
    )


@register("preference")
class PreferenceStage(TrainingStage):
    """The model learns which of two answers is better, or which answers are wanted."""

    kind: Literal["preference"]
    objective: PreferenceLossSettings = Field(default_factory=PreferenceLossSettings, description="What is minimised.")
    train: PreferenceTrainSettings = Field(
        default_factory=PreferenceTrainSettings, description="The training loop's settings."
    )

    @property
    def content(self) -> Content:
        return "labelled" if self.objective.type == "kto" else "pairs"

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        check_chat(recipe)

    def run(self, context: Context) -> StageResult:
        from strop.stages._preference import PreferenceTraining

        return PreferenceTraining(self, context).run()


def check_chat(recipe: Recipe) -> None:
    """Raises ValueError for chat settings that judged answers cannot have."""
    if recipe.chat.train_on == "all":
        raise ValueError("chat.train_on: all would judge the prompt too; use assistant or last.")
    if recipe.chat.too_long == "split_turns":
        raise ValueError("chat.too_long: split_turns would cut an answer into several; use drop or truncate.")
