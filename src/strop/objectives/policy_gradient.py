"""The policy gradient of reinforcement learning: ratio, clip, KL, reduction, and what corrects for the sampler.

Credit is given before batches are made (`strop.objectives.advantages`). The loss of a trained token is
``-weight · surrogate + kl_coef · KL - entropy_coef · H``, and these are reduced as `strop.objectives.reduction` says;
`PRESETS` has the published algorithms as settings of these parts.

Shapes: S trained positions, N sequences; all segments of a trajectory are one sequence here (`strop.rollout.rows`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from strop.objectives.kl import LARGEST, kl_estimate
from strop.objectives.objective import Objective, sum_per_sequence
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.objectives.reduction import factors, normaliser

if TYPE_CHECKING:
    from strop.data.batch import Batch


def log_ratio(logprobs: Tensor, old_logprobs: Tensor, batch: Batch, level: Literal["token", "sequence"]) -> Tensor:
    """``log(π/π_old)`` of every trained token, ``[S]``.

    ``sequence``: the mean over its sequence's trained tokens, so that its exponential is ``(π(y)/π_old(y))^(1/|y|)``
    and does not shrink with length; the gradient is that of the token alone (Zheng et al. 2025, GSPO-token, equation
    14), whose sum over a sequence of equal advantages is GSPO's own.
    """
    difference = logprobs - old_logprobs
    if level == "token":
        return difference
    mean = sum_per_sequence(difference.detach(), batch) / sum_per_sequence(torch.ones_like(difference), batch)
    return mean[batch.seq_index] + (logprobs - logprobs.detach())


def surrogate(log_ratios: Tensor, logprobs: Tensor, advantages: Tensor, settings: PolicyGradientSettings) -> Tensor:
    """What is maximised, per token ``[S]``; ``r = exp(log_ratios)`` between ``1 - clip_low`` and ``1 + clip_high``.

    - ``none``: ``r·A``, the importance-weighted policy gradient.
    - ``ppo``: ``min(r·A, clip(r)·A)``: no gain from moving a ratio beyond its bound (Schulman et al. 2017), with
      ``dual_clip`` c at least ``c·A`` where A < 0 (Ye et al. 2020).
    - ``cispo``: ``sg(clip(r))·A·log π``: the ratio is a weight without a gradient (MiniMax 2025, MiniMax-M1).
    """
    ratio = log_ratios.clamp(-LARGEST, LARGEST).exp()
    if settings.clip == "none":
        return ratio * advantages
    clipped = ratio.clamp(*_bounds(settings))
    if settings.clip == "cispo":
        return clipped.detach() * advantages * logprobs
    least = torch.minimum(ratio * advantages, clipped * advantages)
    if settings.dual_clip is not None:
        least = torch.where(advantages < 0, torch.maximum(least, settings.dual_clip * advantages), least)
    return least


def correction_weights(
    old_logprobs: Tensor, rollout_logprobs: Tensor, batch: Batch, settings: PolicyGradientSettings
) -> Tensor:
    """Importance weights ``w = π_old/π_sampler`` for tokens that another program sampled, ``[S]``, without a gradient.

    Per token, or per ``sequence`` the product over its trained tokens. Above the cap C a weight is C (``truncate``;
    Ionides 2008; Yao et al. 2025) or 0 (``mask``: the token or the sequence is left out; what the loss is divided by
    does not change).
    """
    logs = (old_logprobs - rollout_logprobs).detach()
    if settings.correction_level == "sequence":
        logs = sum_per_sequence(logs, batch)[batch.seq_index]
    weights = logs.clamp(-LARGEST, LARGEST).exp()
    if settings.correction == "truncate":
        return weights.clamp_max(settings.correction_cap)
    return torch.where(weights > settings.correction_cap, 0.0, weights)


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float | None) -> Tensor:
    """``½ (V - R)²`` per token ``[S]``; with ``clip`` ε the larger of that and the same for ``V_old + clip(V - V_old,
    -ε, ε)``, so that a value gains nothing from moving further than ε (PPO2 of OpenAI's baselines)."""
    losses = (values - returns).square()
    if clip is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        losses = torch.maximum(losses, (near - returns).square())
    return losses / 2


class PolicyGradient(Objective):
    """One objective for the whole family; the settings say which member.

    Of a batch it reads the streams ``[S]`` ``advantages``; ``old_logprobs``, the trainer's before the first update on
    these rollouts; ``ref_logprobs`` where there is a KL divergence in the loss; ``rollout_logprobs``, the sampler's,
    with a correction, and with ``direct`` in the place of the old ones; ``old_values`` and ``returns`` with values.
    Log-probabilities are those at ``temperature``, the sampler's. ``rollout_logprobs`` and ``ref_logprobs`` that are
    there anyway are shown in the metrics. ``correction: auto`` is none here (see `PolicyGradientSettings.decided`).

    ``one_update``: every batch is used for one update only, so the old policy is the one at hand. Then the old
    log-probabilities are those of the forward pass itself, none are read, and the ratio is exactly 1 (but for
    ``direct``); where nothing else depends on the log-probabilities, the gradient is known before the pass (`linear`),
    which is faster.

    ``longest``: tokens that an answer may have, what ``reduction: constant`` divides by where no constant is set.

    Loss components: ``policy_loss``, ``kl_loss``, ``entropy_loss``, ``value_loss``, each with its coefficient in it and
    its own normaliser (values: a mean over tokens). An answer whose advantages are 0, as in a group without spread,
    still gets the gradient of the KL divergence and of the entropy.

    Metrics, means over trained tokens: ``ratio`` and its largest, ``ratio_max``; ``clip_fraction_low`` and ``_high``,
    shares of tokens that have lost their gradient by a bound (cispo: whose weight is bounded); ``kl_old``, k3's
    estimate of KL(π_old‖π); ``kl_ref``, k3's of KL(π‖π_ref); ``entropy``; ``mismatch`` and ``mismatch_max``,
    |log π_old - log π_sampler| where the trainer's are there, with ``mismatch_kl``, k3's KL(π_sampler‖π_old);
    ``correction_weight`` and ``correction_fraction``, the share above the cap; ``value_error``, (V - R)².
    """

    comparable = False

    def __init__(
        self,
        settings: PolicyGradientSettings,
        *,
        temperature: float = 1.0,
        one_update: bool = False,
        longest: int | None = None,
    ):
        self._settings, self._one_update = settings.decided(apart=False), one_update
        self.temperature = temperature
        constant = (settings.loss_constant or longest) if settings.reduction == "constant" else 1.0
        if not constant:
            raise ValueError(
                "reduction: constant divides by loss_constant, or by the longest answer: give one of them."
            )
        self._constant = constant
        self.want = ("logprobs", "entropy", *(("values",) if settings.uses_values else ()))

    def normalisers(self, batch: Batch) -> dict[str, float]:
        s, whole = self._settings, normaliser(batch, self._settings.reduction, self._constant)
        used = {"policy_loss": True, "kl_loss": self._kl_in_loss, "entropy_loss": s.entropy_coef}
        return {
            **{name: whole for name, there in used.items() if there},
            **({"value_loss": normaliser(batch, "token_mean")} if s.uses_values else {}),
        }

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        s, share, logprobs = self._settings, factors(batch, self._settings.reduction), outputs["logprobs"]
        old = self._old(outputs, batch)
        gain = surrogate(log_ratio(logprobs, old, batch, s.ratio), logprobs, _stream(batch, "advantages"), s)
        if s.correction in ("truncate", "mask"):
            gain = gain * correction_weights(old, _stream(batch, "rollout_logprobs"), batch, s)
        parts = {"policy_loss": -(gain * share).sum()}
        if self._kl_in_loss:
            estimate = kl_estimate(logprobs, _stream(batch, "ref_logprobs"), s.kl_estimator)
            if s.kl_weighted:
                estimate = estimate * (logprobs - old).clamp(-LARGEST, LARGEST).exp()
            parts["kl_loss"] = s.kl_coef * (estimate * share).sum()
        if s.entropy_coef:
            parts["entropy_loss"] = -s.entropy_coef * (outputs["entropy"] * share).sum()
        if s.uses_values:
            losses = value_loss(
                outputs["values"], _stream(batch, "old_values"), _stream(batch, "returns"), s.value_clip
            )
            parts["value_loss"] = s.value_coef * (losses * batch.weights).sum()
        return parts

    def linear(self, batch: Batch, totals: Mapping[str, float]) -> Tensor | None:
        """With a ratio of 1, ``d(r·A)/d log π = A``, whatever the level and the clip, cispo's included."""
        s = self._settings
        if not self._one_update or self._kl_in_loss or s.entropy_coef or s.correction != "none":
            return None
        return -_stream(batch, "advantages") * factors(batch, s.reduction) / (totals["policy_loss"] or 1.0)

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor | None]]:
        if not len(batch.labels):
            return {}
        s, logprobs, old = self._settings, outputs["logprobs"], self._old(outputs, batch)
        logs = log_ratio(logprobs, old, batch, s.ratio)
        ratio = logs.clamp(-LARGEST, LARGEST).exp()
        shown = {
            "ratio": ratio,
            "kl_old": kl_estimate(old, logprobs, "k3"),
            "entropy": outputs["entropy"],
        }
        largest = {"ratio_max": ratio}
        if s.clip != "none":
            shown |= _clipped(ratio, _stream(batch, "advantages"), s)
        if "ref_logprobs" in batch.streams:
            shown["kl_ref"] = kl_estimate(logprobs, batch.streams["ref_logprobs"], "k3")
        if "rollout_logprobs" in batch.streams:
            sampler = batch.streams["rollout_logprobs"]
            if self._one_update or "old_logprobs" in batch.streams:
                trainer = self._trainers(outputs, batch)
                largest["mismatch_max"] = shown["mismatch"] = (trainer - sampler).abs()
                shown["mismatch_kl"] = kl_estimate(sampler, trainer, "k3")
            if s.correction in ("truncate", "mask"):
                shown["correction_weight"] = weights = correction_weights(old, sampler, batch, s)
                at_cap = weights == (s.correction_cap if s.correction == "truncate" else 0.0)
                shown["correction_fraction"] = at_cap.to(weights.dtype)
        if s.uses_values:
            shown["value_error"] = (outputs["values"] - _stream(batch, "returns")).square()
        count = batch.weights.sum()
        return {
            **{name: ((value * batch.weights).sum(), count) for name, value in shown.items()},
            **{name: (value.max(), None) for name, value in largest.items()},
        }

    @property
    def _kl_in_loss(self) -> bool:
        return self._settings.kl_coef > 0 and self._settings.kl_place == "loss"

    def _old(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Of the policy that the ratio is to."""
        direct = self._settings.correction == "direct"
        return _stream(batch, "rollout_logprobs") if direct else self._trainers(outputs, batch)

    def _trainers(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Of the trained policy before the first update on these rollouts."""
        return outputs["logprobs"].detach() if self._one_update else _stream(batch, "old_logprobs")


def _bounds(settings: PolicyGradientSettings) -> tuple[float | None, float | None]:
    low, high = settings.clip_low, settings.clip_high
    return None if low is None else 1 - low, None if high is None else 1 + high


def _clipped(ratio: Tensor, advantages: Tensor, settings: PolicyGradientSettings) -> dict[str, Tensor]:
    """1.0 where a bound acts, ``[S]`` each."""
    low, high = _bounds(settings)
    below = torch.zeros_like(ratio, dtype=torch.bool) if low is None else ratio < low
    above = torch.zeros_like(ratio, dtype=torch.bool) if high is None else ratio > high
    if settings.clip == "ppo":
        below, above = below & (advantages < 0), above & (advantages > 0)
        if settings.dual_clip is not None:
            above = above | ((ratio > settings.dual_clip) & (advantages < 0))
    return {"clip_fraction_low": below.to(ratio.dtype), "clip_fraction_high": above.to(ratio.dtype)}


def _stream(batch: Batch, name: str) -> Tensor:
    """Raises ValueError where the batch lacks what the settings ask for."""
    if name in batch.streams:
        return batch.streams[name]
    if not len(batch.labels):  # a row that only keeps a rank in step with the others has no streams
        return batch.weights
    raise ValueError(f"this batch has no stream {name!r}, which the objective's settings need.")
