"""Supervised fine-tuning: cross-entropy on the trained tokens, and what can be added to it.

`strop.objectives.reduction` has the ways in which the losses of tokens become one number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from strop.objectives.objective import Objective
from strop.objectives.reduction import factors, normaliser
from strop.objectives.settings import Reduction, SftLossSettings

if TYPE_CHECKING:
    from strop.data.batch import Batch


class CrossEntropy(Objective):
    """Teacher forcing: ``l_s = -log p(label_s)`` in nats, reduced by ``reduction`` (``constant``: its c).

    - ``label_smoothing`` ε spreads that share of the target evenly over the vocabulary: ``l_s = -(1-ε)·log p(label_s) -
      ε·(1/V)·Σ_v log p(v)`` (Szegedy et al. 2016; Vaswani et al. 2017).
    - ``dft`` weights a token by its own probability, through which no gradient goes: ``l_s = -sg(p(label_s))·log
      p(label_s)`` (Wu et al. 2025, On the Generalization of SFT: Dynamic Fine-Tuning).
    - ``z_loss`` c adds a component that keeps the softmax's normaliser near 1: ``c·(log Σ_v exp z_v)²`` per token,
      reduced in the same way (Chowdhery et al. 2022, PaLM, with c = 1e-4).
    - ``aux`` c adds c times the balancing loss that a mixture-of-experts model gives for a row, as a mean over rows
      weighted by their tokens. It is not linear in the row, so it alone depends on how the step is cut into rows.

    Where ``l_s`` is not the plain loss, ``nll`` is: a metric, the weighted mean of ``-log p(label_s)``.
    """

    def __init__(
        self,
        reduction: Reduction = "token_mean",
        *,
        constant: float | None = None,
        label_smoothing: float = 0.0,
        dft: bool = False,
        z_loss: float = 0.0,
        aux: float = 0.0,
    ):
        if dft and label_smoothing:
            raise ValueError("dft and label_smoothing contradict each other.")
        if (reduction == "constant") != (constant is not None):
            raise ValueError("give a constant with reduction `constant`, and with no other.")
        self._reduction, self._constant = reduction, constant or 1.0
        self._smoothing, self._dft, self._z, self._aux = label_smoothing, dft, z_loss, aux
        wanted = {"logprobs": True, "lse": z_loss or label_smoothing, "mean_logits": label_smoothing, "aux": aux}
        self.want = tuple(name for name, used in wanted.items() if used)

    def normalisers(self, batch: Batch) -> dict[str, float]:
        whole = {"cross_entropy": normaliser(batch, self._reduction, self._constant)}
        if self._z:
            whole["z_loss"] = whole["cross_entropy"]
        if self._aux:
            whole["aux"] = _counted_tokens(batch)
        return whole

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        share = factors(batch, self._reduction)
        losses = -outputs["logprobs"]
        if self._dft:
            losses = losses * outputs["logprobs"].detach().exp()
        if self._smoothing:
            uniform = outputs["lse"] - outputs["mean_logits"]
            losses = (1 - self._smoothing) * losses + self._smoothing * uniform
        parts = {"cross_entropy": (losses * share).sum()}
        if self._z:
            parts["z_loss"] = self._z * (outputs["lse"].square() * share).sum()
        if self._aux:
            parts["aux"] = self._aux * _counted_tokens(batch) * outputs["aux"]
        return parts

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        if not (self._smoothing or self._dft):
            return {}
        return {"nll": ((-outputs["logprobs"] * batch.weights).sum(), batch.weights.sum())}

    def linear(self, batch: Batch, totals: Mapping[str, float]) -> Tensor | None:
        if self._smoothing or self._dft or self._z:
            return None
        return factors(batch, self._reduction) / -(totals["cross_entropy"] or 1.0)


def supervised_objective(settings: SftLossSettings) -> CrossEntropy:
    """What a stage's settings ask for."""
    return CrossEntropy(
        settings.reduction,
        constant=settings.loss_constant,
        label_smoothing=settings.label_smoothing,
        dft=settings.dft,
        z_loss=settings.z_loss,
        aux=settings.aux_loss,
    )


def _counted_tokens(batch: Batch) -> float:
    """T, or 0 for a row that only keeps a rank in step with the others."""
    return float(len(batch.tokens) if len(batch.labels) else 0)
