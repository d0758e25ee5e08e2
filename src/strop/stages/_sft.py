"""What an SFT stage does beside what every training does: its loss, and noise on embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strop.objectives.objective import Objective
from strop.objectives.own import OwnLoss
from strop.objectives.sft import supervised_objective
from strop.rewards.kinds import load_function
from strop.stages._training import Training
from strop.train.neftune import Neftune

if TYPE_CHECKING:
    from strop.stages.sft import SftStage
    from strop.train.settings import SftTrainSettings


class FineTuning(Training):
    """Fine-tune the model on the stage's mixture; the result goes to ``model`` in the stage's folder."""

    stage: SftStage
    settings: SftTrainSettings

    def objective(self) -> Objective:
        if self.stage.objective:
            own = load_function(self.stage.objective, "outputs", "batch")
            return OwnLoss(own, self.settings.reduction, self.settings.loss_constant)
        return supervised_objective(self.settings)

    def stateful(self) -> dict[str, Any]:
        alpha, seed = self.settings.neftune_alpha, self.settings.seed + self.world.rank  # other rows, other noise
        return {"neftune": Neftune(self.loaded.policy, alpha, seed)} if alpha else {}
