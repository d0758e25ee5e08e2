"""Distillation: the student's distribution over the next token is to be the teacher's.

Both are compared on the teacher's K likeliest tokens and on "any other token" as one more: with p and q the teacher's
and the student's probabilities of these K + 1,

- ``forward``: ``KL(p‖q) = Σ p (log p - log q)`` (Hinton et al. 2015, arXiv:1503.02531; for language models Kim & Rush
  2016, arXiv:1606.07947);
- ``reverse``: ``KL(q‖p) = Σ q (log q - log p)`` (Gu et al. 2024, MiniLLM, arXiv:2306.08543; Agarwal et al. 2024, GKD,
  arXiv:2306.13649).

It is never more than the divergence over the whole vocabulary, equal to it where K is the vocabulary, and 0 only where
the student gives each of the K its probability. (Renormalising the K instead would teach that no other token exists.)

Shapes: S trained positions, K tokens at each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from strop.objectives.distillation_settings import DistillationSettings
from strop.objectives.objective import Objective

if TYPE_CHECKING:
    from strop.data.batch import Batch

_NO_REST = -(2.0**-24)
"""Log of the most that K tokens have together: half a rounding of float32 below 1, where the rest still has a log."""


def with_rest(logprobs: Tensor) -> Tensor:
    """``[S,K]`` natural log-probabilities of different tokens -> ``[S,K+1]``, the last of all other tokens together."""
    together = torch.logsumexp(logprobs, -1, keepdim=True).clamp_max(_NO_REST)
    return torch.cat([logprobs, torch.log(-torch.expm1(together))], -1)


def divergence(student: Tensor, teacher: Tensor, direction: str) -> Tensor:
    """KL divergences in nats ``[S]`` of log-probabilities ``[S,K]``; see above."""
    q, p = with_rest(student), with_rest(teacher)
    if direction == "forward":
        return (p.exp() * (p - q)).sum(-1)
    return (q.exp() * (q - p)).sum(-1)


class Distillation(Objective):
    """The mean over trained tokens of ``τ²`` times the divergence at temperature τ (the square keeps the gradient's
    size; Hinton et al. 2015), and ``sft_weight`` times the mean of ``-log π`` over the tokens that the data have.

    Of a batch it reads the streams ``choices [S,K]`` (the teacher's likeliest tokens, which the policy reads too) with
    ``choice_temperature [S]``, ``teacher_logprobs [S,K]`` at that temperature, and ``given [S]``: 1 where the data have
    the token, 0 where the student sampled it. No gradient goes through the sampling.

    Metrics, means over tokens: ``kl``, the divergence; ``teacher_mass``, what the teacher gives its K tokens;
    ``agreement``, the share of tokens at which the student's likeliest of the K is the teacher's.
    """

    def __init__(self, settings: DistillationSettings, comparable: bool = True):
        self._settings, self.comparable = settings, comparable
        self.want = ("choice_logprobs", *(("logprobs",) if settings.sft_weight else ()))

    def normalisers(self, batch: Batch) -> dict[str, float]:
        whole = {"distillation": batch.weights.sum().item()}
        if self._settings.sft_weight:
            whole["sft"] = (batch.weights * batch.streams["given"]).sum().item()
        return whole

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        s = self._settings
        apart = divergence(outputs["choice_logprobs"], batch.streams["teacher_logprobs"], s.divergence)
        parts = {"distillation": s.temperature**2 * (apart * batch.weights).sum()}
        if s.sft_weight:
            parts["sft"] = -s.sft_weight * (outputs["logprobs"] * batch.weights * batch.streams["given"]).sum()
        return parts

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        student, teacher = outputs["choice_logprobs"], batch.streams["teacher_logprobs"]
        shown = {
            "kl": divergence(student, teacher, self._settings.divergence),
            "teacher_mass": teacher.exp().sum(-1),
            "agreement": (student.argmax(-1) == teacher.argmax(-1)).float(),
        }
        count = batch.weights.sum()
        told = {name: ((value * batch.weights).sum(), count) for name, value in shown.items()}
        if self._settings.sft_weight:
            given = batch.weights * batch.streams["given"]
            told["nll"] = ((-outputs["logprobs"] * given).sum(), given.sum())
        return told
