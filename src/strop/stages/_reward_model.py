"""What a reward model's stage does beside what every training does: what is told of it, and how it is saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from strop.data.batch import Batch
from strop.data.groups import Group, group_batch
from strop.data.packing import pack
from strop.data.source import fill
from strop.evals.calibration import correlation, expected_calibration_error
from strop.evals.rates import rate
from strop.objectives.objective import Objective
from strop.objectives.reward_model import BradleyTerry, Regression
from strop.stages._training import Training

if TYPE_CHECKING:
    from strop.stages.reward_model import RewardModelStage


class RewardTraining(Training):
    """Train the score at the last token of whole conversations, as the template ends them."""

    stage: RewardModelStage
    measured: list[Group]
    loss_unit = "loss per pair or answer"

    def objective(self) -> Objective:
        return Regression() if self.stage.content == "scored" else BradleyTerry()

    def make(self, examples: Sequence[Group]) -> Batch:
        return group_batch(examples, self.stage.content)

    def before_saving(self) -> dict[str, Any]:
        facts = self._told() if self.measured else {}
        if self._pad() is None:
            facts["padding"] = "no token is free for it, so transformers scores one text at a time"
        return facts

    def _told(self) -> dict[str, Any]:
        """Of the held-out answers: how often the score is right, how far to be believed, and whether it is length."""
        scores = self._scores()
        examples = [example for group in self.measured for example in group.examples]
        lengths = [float(np.count_nonzero(example.loss_weights)) for example in examples]
        by_length = correlation(scores, lengths)
        told = {"correlation of score and length": "–" if by_length is None else f"{by_length:.3f}"}
        if self.stage.content == "scored":
            given = [example.value for example in examples]
            error = float(np.sqrt(np.mean((np.array(scores) - given) ** 2)))
            with_given = correlation(scores, given)
            return {
                "held-out answers": len(examples),
                "root mean squared error": f"{error:.3f}",
                "correlation with the scores given": "–" if with_given is None else f"{with_given:.3f}",
                **told,
            }
        margins = np.array(scores[::2]) - scores[1::2]
        prompts = [group.examples[0].tokens[: group.shared].tobytes() for group in self.measured]
        accuracy = rate((np.sign(margins) + 1) / 2, prompts)
        longer = (np.sign(np.array(lengths[::2]) - lengths[1::2]) + 1) / 2
        off = expected_calibration_error(1 / (1 + np.exp(-margins)), [True] * len(margins))
        return {
            "held-out pairs": len(margins),
            "accuracy": f"{accuracy.value:.3f} (95 % interval {accuracy.low:.3f} … {accuracy.high:.3f})",
            "accuracy of choosing the longer answer": f"{longer.mean():.3f}",
            "expected calibration error": f"{off:.3f}",
            "mean margin": f"{margins.mean():.3f}",
            **told,
        }

    def _scores(self) -> list[float]:
        """The score of every answer of ``measured``, in order."""
        policy, groups = self.loaded.policy, self.measured
        found: list[list[float]] = [[]] * len(groups)

        def score(batch: Batch) -> Tensor:
            with policy.measuring():
                scores = policy(batch.to(policy.compute.device), ("scores",))["scores"].cpu()
            return scores[batch.sequence_streams["preferred"] != 0]

        rows = pack([len(group.tokens) for group in groups], self.settings.micro_batch_tokens)
        mine = [score(self.make([groups[i] for i in row])) for row in self.world.mine(rows)]
        if len(mine) * self.world.size < len(rows):
            score(fill(self.make(groups[:1])))  # the ranks go through the model together
        for row, scores in zip(rows, self.world.joined(mine), strict=True):
            answers = scores.split([len(groups[i].examples) for i in row])
            for i, own in zip(row, answers, strict=True):
                found[i] = own.tolist()
        return [score for group in found for score in group]

    def _pad(self) -> int | None:
        """Give the model a token for padding that ends no text; None where there is none.

        transformers takes the score at the last token that is not padding. Where padding is the token that texts end
        with, as it often is, that would be the one before it.
        """
        tokenizer, groups = self.loaded.tokenizer, [*self.everything(), *self.measured]
        ends = {int(example.tokens[-1]) for group in groups for example in group.examples}
        names = ("pad_token_id", "unk_token_id", "bos_token_id", "eos_token_id")
        known = (getattr(tokenizer, name) for name in names)
        pad = next((i for i in known if i is not None and i not in ends), None)
        self.loaded.policy.model.config.get_text_config().pad_token_id = pad
        if pad is not None:
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
        return pad
