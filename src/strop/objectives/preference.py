"""Direct preference optimisation: a chosen answer is to gain on a rejected one, against a frozen reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from strop.objectives.objective import Objective, sum_per_sequence, weight_per_sequence

if TYPE_CHECKING:
    from strop.data.batch import Batch


class DPO(Objective):
    """With ``r(y) = Σ_s w_s (log π(y_s) - log π_ref(y_s))`` over an answer's trained tokens and ``d = r(chosen) -
    r(rejected)``, the mean over pairs of

    - ``sigmoid``: ``-(1-ε)·log σ(β d) - ε·log σ(-β d)`` (Rafailov et al. 2023; ε, ``label_smoothing``: the chance
      that a pair is labelled the wrong way round, Mitchell 2023, conservative DPO);
    - ``ipo``: ``(d - 1/(2β))²`` (Azar et al. 2023);
    - ``hinge``: ``max(0, 1 - β d)`` (Zhao et al. 2023, SLiC-HF).

    ``length_normalised`` makes ``r`` the mean over an answer's tokens instead of the sum (as Meng et al. 2024, SimPO,
    but with the reference kept), so that a long answer does not count for its length.

    Of a batch it reads the stream ``ref_logprobs [S]`` and the sequence streams ``pair`` (the number of the pair within
    the batch, -1 none) and ``preferred`` (+1 chosen, -1 rejected, 0 neither). Both answers of a pair are in one batch;
    then the result does not depend on how a step is cut up. Metrics, means over pairs: ``reward_chosen`` and
    ``reward_rejected`` (``β r``), ``reward_margin``, and ``reward_accuracy``, the share with ``d > 0``.
    """

    want = ("logprobs",)

    def __init__(
        self,
        beta: float = 0.1,
        loss_type: Literal["sigmoid", "ipo", "hinge"] = "sigmoid",
        *,
        label_smoothing: float = 0.0,
        length_normalised: bool = False,
    ):
        if not beta > 0:
            raise ValueError("beta is above 0.")
        if label_smoothing and (loss_type != "sigmoid" or not 0 < label_smoothing < 0.5):
            raise ValueError("label_smoothing is for sigmoid and from 0 up to, not including, 0.5.")
        self._beta, self._type = beta, loss_type
        self._smoothing, self._mean = label_smoothing, length_normalised

    def normalisers(self, batch: Batch) -> dict[str, float]:
        """Raises ValueError for a pair that is not one chosen and one rejected sequence of this batch."""
        return {"preference": _pairs(batch, check=True).sum().item()}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        chosen, rejected = self._ratios(outputs, batch)
        h = chosen - rejected
        if self._type == "sigmoid":
            h = self._beta * h
            losses = -(1 - self._smoothing) * F.logsigmoid(h) - self._smoothing * F.logsigmoid(-h)
        elif self._type == "ipo":
            losses = (h - 1 / (2 * self._beta)).square()
        else:
            losses = (1 - self._beta * h).clamp_min(0)
        return {"preference": (losses * _pairs(batch)).sum()}

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        chosen, rejected = (self._beta * r for r in self._ratios(outputs, batch))
        pairs = _pairs(batch)
        shown = {
            "reward_chosen": chosen,
            "reward_rejected": rejected,
            "reward_margin": chosen - rejected,
            "reward_accuracy": (chosen > rejected).to(pairs.dtype),
        }
        return {name: ((value * pairs).sum(), pairs.sum()) for name, value in shown.items()}

    def _ratios(self, outputs: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """``r`` of the chosen and of the rejected answer of each pair, ``[N]`` both; 0 where there is no such pair."""
        ratios = sum_per_sequence(batch.weights * (outputs["logprobs"] - batch.streams["ref_logprobs"]), batch)
        if self._mean:
            weights = weight_per_sequence(batch)
            ratios = ratios / torch.where(weights > 0, weights, 1.0)
        preferred = batch.sequence_streams["preferred"]
        return _per_pair(ratios * (preferred > 0), batch), _per_pair(ratios * (preferred < 0), batch)


def _per_pair(values: Tensor, batch: Batch) -> Tensor:
    """``values [N]`` summed by pair, ``[N]``: there are at most as many pairs as sequences."""
    pair = batch.sequence_streams["pair"].long()
    return values.new_zeros(batch.sequences).index_add_(0, pair.clamp_min(0), values * (pair >= 0))


def _pairs(batch: Batch, check: bool = False) -> Tensor:
    """1.0 for the numbers that are a pair, else 0.0; float32 ``[N]``."""
    preferred = batch.sequence_streams["preferred"]
    chosen, rejected = (_per_pair((preferred == sign).float(), batch) for sign in (1, -1))
    if check and not (torch.equal(chosen, rejected) and (chosen <= 1).all()):
        raise ValueError("a pair of this batch is not one chosen and one rejected sequence; keep both in one batch.")
    return chosen
