"""Reward models: one score per answer, learnt from pairs or from scores that answers were given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from strop.objectives.objective import Objective
from strop.objectives.preference import chosen_and_rejected, pairs_of, per_pair, reward_metrics

if TYPE_CHECKING:
    from strop.data.batch import Batch


class BradleyTerry(Objective):
    """Mean over pairs of ``-log σ(s_c - s_r - m)``: the chance that the chosen answer is preferred is ``σ(s_c - s_r)``
    (Bradley & Terry 1952; Stiennon et al. 2020, arXiv:2009.01325). ``m`` is the pair's margin (Touvron et al. 2023,
    Llama 2, arXiv:2307.09288, equation 2), 0 where the row gave none.

    Of a batch it reads the sequence streams ``pair``, ``preferred`` and ``value`` (the margin, at the chosen answer).
    Metrics as `strop.objectives.preference.reward_metrics`.
    """

    want = ("scores",)

    def normalisers(self, batch: Batch) -> dict[str, float]:
        """Raises ValueError for a pair that is not one chosen and one rejected sequence of this batch."""
        return {"bradley_terry": pairs_of(batch, check=True).sum().item()}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        chosen, rejected = chosen_and_rejected(outputs["scores"], batch)
        margin = per_pair(batch.sequence_streams["value"], batch)
        return {"bradley_terry": (-F.logsigmoid(chosen - rejected - margin) * pairs_of(batch)).sum()}

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        return reward_metrics(outputs["scores"], batch)


class Regression(Objective):
    """Mean over answers of ``(s - y)²``, ``y`` the score that the answer was given (outcome regression).

    Of a batch it reads the sequence streams ``preferred`` (1 an answer, 0 none) and ``value`` (y). Metric: ``error``,
    the mean of ``|s - y|``.
    """

    want = ("scores",)

    def normalisers(self, batch: Batch) -> dict[str, float]:
        return {"regression": batch.sequence_streams["preferred"].sum().item()}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        return {"regression": (self._errors(outputs, batch).square()).sum()}

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        return {"error": (self._errors(outputs, batch).abs().sum(), batch.sequence_streams["preferred"].sum())}

    def _errors(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        streams = batch.sequence_streams
        return (outputs["scores"] - streams["value"]) * streams["preferred"]
