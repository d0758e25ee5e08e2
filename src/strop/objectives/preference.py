"""Preference objectives: chosen answers are to gain on rejected ones, or wanted answers on unwanted ones.

What each minimises, with its paper, is the table `strop.objectives.preference_settings.METHODS`. Both answers of a pair
are in one batch, and each component is a sum over pairs (answers, for KTO) divided by their number in the step: the
result does not depend on how a step is cut up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from strop.objectives.objective import Objective, sum_per_sequence, weight_per_sequence
from strop.objectives.preference_settings import PreferenceLossSettings

if TYPE_CHECKING:
    from strop.data.batch import Batch


def preference_objective(settings: PreferenceLossSettings) -> Objective:
    """What a stage's settings ask for."""
    return KTO(settings) if settings.type == "kto" else PairedPreference(settings)


def _smoothed(s: PreferenceLossSettings, h: Tensor) -> Tensor:
    return -(1 - s.label_smoothing) * F.logsigmoid(h) - s.label_smoothing * F.logsigmoid(-h)


def _robust(s: PreferenceLossSettings, h: Tensor) -> Tensor:
    flipped = s.label_smoothing * F.logsigmoid(-h) - (1 - s.label_smoothing) * F.logsigmoid(h)
    return flipped / (1 - 2 * s.label_smoothing)


# Of each pair's two values, ``[N]``: r of METHODS, or p where there is no reference.
_LOSSES: dict[str, Callable[[PreferenceLossSettings, Tensor, Tensor], Tensor]] = {
    "dpo": lambda s, c, r: -F.logsigmoid(s.scale * (c - r)),
    "cdpo": lambda s, c, r: _smoothed(s, s.scale * (c - r)),
    "robust": lambda s, c, r: _robust(s, s.scale * (c - r)),
    "hinge": lambda s, c, r: (1 - s.scale * (c - r)).clamp_min(0),
    "ipo": lambda s, c, r: (c - r - 1 / (2 * s.scale)).square(),
    "simpo": lambda s, c, r: -F.logsigmoid(s.scale * (c - r) - s.gamma),
    "orpo": lambda s, c, r: -s.scale * F.logsigmoid(_log_odds(c) - _log_odds(r)),
}


def _log_odds(p: Tensor) -> Tensor:
    """``log(P / (1 - P))`` of ``P = e^p``. P = 1 has none: p is kept half a rounding of float32 below 0."""
    p = p.clamp_max(-(2.0**-25))
    return p - torch.log(-torch.expm1(p))


class _Preference(Objective):
    """``want`` and the SFT component, the same for all: ``sft_weight`` times the mean over the chosen (wanted) answers
    of ``-Σ w log π / Σ w`` over an answer's tokens."""

    want = ("logprobs",)

    def __init__(self, settings: PreferenceLossSettings):
        self._settings = settings

    def _sft(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        if not (share := self._settings.sft_share):
            return {}
        nll = -_per_token(sum_per_sequence(batch.weights * outputs["logprobs"], batch), batch)
        return {"sft": share * (nll * (batch.sequence_streams["preferred"] > 0)).sum()}

    def _sft_count(self, batch: Batch) -> dict[str, float]:
        chosen = float((batch.sequence_streams["preferred"] > 0).sum())
        return {"sft": chosen} if self._settings.sft_share else {}

    def _values(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """``r``, or ``p`` where there is no reference, of every sequence, ``[N]``; 0 where nothing is trained."""
        settings, logprobs = self._settings, outputs["logprobs"]
        if settings.method.reference:
            logprobs = logprobs - batch.streams["ref_logprobs"]
        values = sum_per_sequence(batch.weights * logprobs, batch)
        return _per_token(values, batch) if settings.length_normalised or not settings.method.reference else values


class PairedPreference(_Preference):
    """Every type but kto. Of a batch it reads the sequence streams ``pair`` (the number of the pair within the batch,
    -1 none) and ``preferred`` (1 chosen, -1 rejected, 0 neither), and ``ref_logprobs [S]`` where the type has a
    reference.

    Metrics, means over pairs: ``reward_chosen`` and ``reward_rejected`` (``β r``, or ``β p``), ``reward_margin``, and
    ``reward_accuracy``, the share with a positive margin.
    """

    def normalisers(self, batch: Batch) -> dict[str, float]:
        """Raises ValueError for a pair that is not one chosen and one rejected sequence of this batch."""
        return {"preference": pairs_of(batch, check=True).sum().item(), **self._sft_count(batch)}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        losses = _LOSSES[self._settings.type](self._settings, *chosen_and_rejected(self._values(outputs, batch), batch))
        # Numbers that are no pair have the value 0 twice; where, because 0 has no log-odds.
        losses = torch.where(pairs_of(batch) > 0, losses, 0.0)
        return {"preference": losses.sum(), **self._sft(outputs, batch)}

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        return reward_metrics(self._settings.scale * self._values(outputs, batch), batch)


class KTO(_Preference):
    """Answers by themselves. Of a batch it reads the stream ``ref_logprobs [S]`` and the sequence streams ``preferred``
    (1 wanted, -1 not, 0 neither) and ``kl``: the mean of ``r`` over mismatched answers (a prompt with the answer to
    another one), through which no gradient goes; one number for the whole step, whatever its rows.

    The paper takes this mean over the answers of a micro-batch, paired with the prompts one place further on; here each
    prompt has the answer of the next row of another prompt, and the mean is over the step.

    Metrics: ``reward_desirable`` and ``reward_undesirable`` (``β r``), ``kl`` (nats, not below 0) and
    ``reward_accuracy``, the share of answers with ``r`` on their side of it.
    """

    comparable = False  # the kl that a step was made with is that of its own weights

    def normalisers(self, batch: Batch) -> dict[str, float]:
        return {"preference": batch.sequence_streams["preferred"].abs().sum().item(), **self._sft_count(batch)}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        s, preferred = self._settings, batch.sequence_streams["preferred"]
        # λ(1 - σ(x)) = λ σ(-x); of what is no answer the sign is 0, and so is the weight
        margins = s.scale * preferred * (self._values(outputs, batch) - _kl(batch))
        weights = s.desirable_weight * (preferred > 0) + s.undesirable_weight * (preferred < 0)
        return {"preference": (weights * torch.sigmoid(-margins)).sum(), **self._sft(outputs, batch)}

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        values, preferred, kl = self._values(outputs, batch), batch.sequence_streams["preferred"], _kl(batch)
        shown = {}
        for name, side in (("reward_desirable", preferred > 0), ("reward_undesirable", preferred < 0)):
            shown[name] = (self._settings.scale * (values * side).sum(), side.sum())
        answers = preferred.abs()
        right = (values - kl) * preferred > 0
        return {**shown, "kl": ((kl * answers).sum(), answers.sum()), "reward_accuracy": (right.sum(), answers.sum())}


def _kl(batch: Batch) -> Tensor:
    return batch.sequence_streams["kl"].clamp_min(0)


def _per_token(sums: Tensor, batch: Batch) -> Tensor:
    """``sums [N]`` over the sum of each sequence's weights; 0 where it has none."""
    weights = weight_per_sequence(batch)
    return sums / torch.where(weights > 0, weights, 1.0)


def reward_metrics(rewards: Tensor, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
    """What is shown of ``rewards [N]`` of pairs, as sums and counts."""
    chosen, rejected = chosen_and_rejected(rewards, batch)
    pairs = pairs_of(batch)
    shown = {
        "reward_chosen": chosen,
        "reward_rejected": rejected,
        "reward_margin": chosen - rejected,
        "reward_accuracy": (chosen > rejected).to(pairs.dtype),
    }
    return {name: ((value * pairs).sum(), pairs.sum()) for name, value in shown.items()}


def chosen_and_rejected(values: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """``values [N]`` of the chosen and of the rejected answer of each pair, ``[N]`` both; 0 where there is no such
    pair."""
    preferred = batch.sequence_streams["preferred"]
    return per_pair(values * (preferred > 0), batch), per_pair(values * (preferred < 0), batch)


def per_pair(values: Tensor, batch: Batch) -> Tensor:
    """``values [N]`` summed by pair, ``[N]``: there are at most as many pairs as sequences."""
    pair = batch.sequence_streams["pair"].long()
    return values.new_zeros(batch.sequences).index_add_(0, pair.clamp_min(0), values * (pair >= 0))


def pairs_of(batch: Batch, check: bool = False) -> Tensor:
    """1.0 for the numbers that are a pair, else 0.0; float32 ``[N]``."""
    preferred = batch.sequence_streams["preferred"]
    chosen, rejected = (per_pair((preferred == sign).float(), batch) for sign in (1, -1))
    if check and not (torch.equal(chosen, rejected) and (chosen <= 1).all()):
        raise ValueError("a pair of this batch is not one chosen and one rejected sequence; keep both in one batch.")
    return chosen
