"""What a pretraining stage does beside what every training does: its loss on every token, told in bits per byte."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from strop.common.errors import InputError
from strop.model.bpe import token_bytes
from strop.objectives.objective import Objective
from strop.objectives.sft import supervised_objective
from strop.stages._training import Training

if TYPE_CHECKING:
    from strop.stages.pretrain import PretrainStage, PretrainTrainSettings

BITS = "eval_bits_per_byte"


class Pretraining(Training):
    """Train the model on every token of the stage's mixture; the result goes to ``model`` in the stage's folder."""

    stage: PretrainStage
    settings: PretrainTrainSettings

    def objective(self) -> Objective:
        return supervised_objective(self.settings)

    def begin(self) -> None:
        self.tokens_per_byte = None
        if self.measured:
            try:
                self.tokens_per_byte = tokens_per_byte(self.measured, self.loaded.tokenizer)
            except InputError as error:
                self.context.say(f"bits per byte are not given: {error}")

    def evaluate(self, objective: Objective) -> dict[str, float]:
        """``eval_bits_per_byte`` is of plain cross-entropy, so smoothing, dft and the reduction do not count."""
        found = super().evaluate(objective)
        if self.tokens_per_byte is not None and self.settings.reduction == "token_mean":
            nats = found.get("eval_nll", found["eval_loss"])
            found[BITS] = nats * self.tokens_per_byte / math.log(2)
        return found

    def before_saving(self) -> dict[str, Any]:
        bits = [row[BITS] for row in self.evaluations() if BITS in row]
        return {"bits per byte": f"{bits[0]:.3f} → {bits[-1]:.3f} on held-out data"} if bits else {}


def tokens_per_byte(examples: Any, tokenizer: Any) -> float:
    """Σ w / Σ w·bytes over the trained tokens of ``examples``: nats per token × this / ln 2 are bits per byte.

    Tokens that stand for no text (the end token, those of the template) have no bytes, and their loss counts.
    """
    sizes = token_bytes(tokenizer)
    weights = n_bytes = 0.0
    for example in examples:
        for token, weight in zip(example.tokens[1:], example.loss_weights[1:], strict=True):
            weights += weight
            n_bytes += weight * sizes[token]
    return float(weights / n_bytes) if n_bytes else 0.0
