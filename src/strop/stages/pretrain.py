"""Pre- and mid-training: every token of texts, and of conversations, is learnt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from strop.data.settings import with_texts
from strop.stages._settings import TrainingStage
from strop.stages.base import Context, Examined, StageResult, register
from strop.train.settings import SftTrainSettings

if TYPE_CHECKING:
    from strop.config.recipe import Recipe

EVERY_TOKEN = {"train_on": "all"}


class PretrainTrainSettings(SftTrainSettings):
    """The loop's settings with the rate and decay that new weights want."""

    learning_rate: float = Field(
        1e-3, gt=0, description="Peak learning rate; 1e-3 suits millions of weights, 3e-4 billions."
    )
    weight_decay: float = Field(0.1, ge=0, description="Decoupled weight decay on matrices and the head.")


@register("pretrain")
class PretrainStage(TrainingStage):
    """Cross-entropy on every token but tool results; the result goes to ``model`` in the stage's folder. The loss on
    ``eval_data`` is given in bits per byte too, which compare across tokenizers."""

    kind: Literal["pretrain"]
    train: PretrainTrainSettings = Field(
        default_factory=PretrainTrainSettings, description="The training loop's settings."
    )

    _texts = field_validator("data", "eval_data")(with_texts)

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        if recipe.chat.drift == "split":
            raise ValueError(
                "chat.drift: split makes one example of every assistant turn, and here all of the text is trained, "
                "which would repeat the rest in each; use drift: allow."
            )

    def looked_at(self) -> Examined:
        return replace(super().looked_at(), chat=EVERY_TOKEN)

    def run(self, context: Context) -> StageResult:
        from strop.stages._pretrain import Pretraining

        recipe = context.recipe
        recipe = recipe.model_copy(update={"chat": recipe.chat.model_copy(update=EVERY_TOKEN)})
        return Pretraining(self, replace(context, recipe=recipe)).run()
