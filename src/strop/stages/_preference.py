"""What a preference stage does beside what every training does: the reference, and KTO's KL term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from strop.common.files import folder_stamp
from strop.data.batch import Batch
from strop.data.groups import Group, group_batch, mismatched
from strop.evals.rates import wilson
from strop.objectives.objective import Objective, sum_per_sequence
from strop.objectives.preference import preference_objective
from strop.stages._reference import Reference, adapters_off, stored, with_reference
from strop.stages._training import Training

if TYPE_CHECKING:
    from strop.stages.preference import PreferenceStage


class PreferenceTraining(Training):
    """Train on judged answers, each row with the reference's log-probabilities of them where the method has one."""

    stage: PreferenceStage
    measured: list[Group]
    loss_unit = "loss per pair or answer"
    reference: Reference | None = None

    def objective(self) -> Objective:
        return preference_objective(self.stage.objective)

    def begin(self) -> None:
        self.others: dict[tuple[str, int], Group] = {}  # of KTO, by the key of the group whose prompt they have
        if self.stage.objective.type == "kto":
            for groups, *said in (
                (self.everything(), "data", "give data with several"),
                (self.measured, "eval_data", "hold out more"),
            ):
                if groups:
                    longest = max(len(group.tokens) for group in groups)
                    others = mismatched(groups, longest, *said)
                    self.others |= {group.key: other for group, other in zip(groups, others, strict=True)}
        if not self.stage.objective.method.reference:
            return
        if self.stage.lora is not None:
            self.reference = adapters_off(self.loaded.policy)
            return
        asked = [*self.drawn(), *self.measured]
        asked += [self.others[group.key] for group in asked if group.key in self.others]
        policy, compute = self.loaded.policy, self.loaded.policy.compute

        def measure(row: Batch) -> dict[str, Tensor]:
            with policy.measuring():
                return {"logprobs": policy(row.to(compute.device))["logprobs"].cpu()}

        logprobs = stored(
            asked,
            measure,
            key=lambda group: group.key,
            make=self._row,
            row_tokens=self.settings.micro_batch_tokens,
            folder=self.context.folder / "reference",
            made_from={"model": folder_stamp(self.context.model), "compute": str(compute)},
            say=self.context.say,
            world=self.world,
        )
        self.reference = lambda batch, groups: with_reference(batch, logprobs(groups)["logprobs"])

    def make(self, examples: Sequence[Group]) -> Batch:
        batch = self._row(examples)
        return batch if self.reference is None else self.reference(batch, examples)

    def complete(self, rows: list[Batch], examples: Sequence[Group]) -> list[Batch]:
        if not self.others:
            return rows
        kl = self._kl([self.others[group.key] for group in examples])
        return [
            replace(row, sequence_streams={**row.sequence_streams, "kl": torch.full((row.sequences,), kl)})
            for row in rows
        ]

    def before_saving(self) -> dict[str, Any]:
        if not self.rows:
            return {}
        first, last = self.evaluations()[0], self.evaluations()[-1]
        if "best" in self.totals:  # whose evaluation need not be among those
            last = self.evaluate(self.objective())
        judged = "pairs" if self.stage.content == "pairs" else "answers"
        facts: dict[str, Any] = {f"held-out {judged}": len(self.measured)}
        for name, value in last.items():
            if name.startswith("eval_reward") or name == "eval_kl":
                facts[name.removeprefix("eval_").replace("_", " ")] = f"{first[name]:.3f} → {value:.3f}"
        low, high = wilson(last["eval_reward_accuracy"], len(self.measured))
        facts["reward accuracy"] += f" (95 % interval {low:.3f} … {high:.3f})"
        return facts

    def _row(self, groups: Sequence[Group]) -> Batch:
        return group_batch(groups, self.stage.content)

    def _kl(self, groups: Sequence[Group]) -> float:
        """The mean over these answers of what the policy has gained on the reference, in nats."""
        policy, total = self.loaded.policy, 0.0
        for row in self.rows_of(groups, self.make):
            with policy.measuring():
                gained = policy(row.to(policy.compute.device))["logprobs"].cpu() - row.streams["ref_logprobs"]
            total += sum_per_sequence(row.weights * gained, row).sum().item()
        return self.world.sum({"kl": total})["kl"] / len(groups)
