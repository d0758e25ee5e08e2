"""A batch of rollouts: prompts asked, answers graded, groups dropped and refilled; before credit is given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from strop.common.console import working
from strop.common.errors import Halted
from strop.data.walk import Walk
from strop.objectives.advantages import shape_rewards
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.rollout.draw import draw_groups
from strop.rollout.engine import Engine, EngineLost, SamplingParams
from strop.rollout.grading import Grader
from strop.rollout.numbers import Drawn
from strop.rollout.prompts import Prompt
from strop.rollout.ranks import ALONE, Ranks
from strop.rollout.settings import RolloutSettings
from strop.rollout.trajectory import Trajectory
from strop.rollout.turns import Player


@dataclass
class Gathered:
    """Batch ``number`` (from 0), whose prompts begin at the place ``first`` of all, sampled by the weights ``version``:
    those after the updates on so many batches. ``taken``: the place after its last prompt. ``prompts`` and ``groups``
    are what is trained on; ``said``: what people are told when the batch is used."""

    number: int
    version: int
    first: int
    taken: int = -1
    prompts: list[Prompt] = field(default_factory=list)
    groups: list[list[Trajectory]] = field(default_factory=list)
    drawn: Drawn = field(default_factory=Drawn)
    said: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.taken = max(self.taken, self.first)

    def state_dict(self) -> dict[str, Any]:
        """All of it in plain values, prompts by their places."""
        drawn = vars(self.drawn) | {
            "every": [[one.state_dict() for one in group] for group in self.drawn.every],
            "seconds": dict(self.drawn.seconds),
        }
        own = {name: getattr(self, name) for name in ("number", "version", "first", "taken")}
        return {**own, "said": list(self.said), "kept": [group[0].group for group in self.groups], "drawn": drawn}

    @classmethod
    def of_state(cls, state: dict[str, Any], walk: Walk) -> Gathered:
        given = dict(state)
        told, kept = given.pop("drawn"), given.pop("kept")
        every = [[Trajectory.of_state(one) for one in group] for group in told["every"]]
        drawn = Drawn(**told | {"every": every, "seconds": defaultdict(float, told["seconds"])})
        prompts = [walk[state["first"] + g] for g in kept]
        return cls(**given, prompts=prompts, groups=[rewarded(drawn.every[g]) for g in kept], drawn=drawn)


class Gatherer:
    """Asks ``engine`` for batches of answers to the prompts of ``walk``, and grades them.

    Of several ranks each asks and grades its share of the prompts, and all have the whole batch.
    What answer ``i`` to a prompt draws depends on (seed, number of the batch, prompt, i) and the weights alone;
    with a ``player`` also on what its environment says.
    """

    def __init__(
        self,
        engine: Engine,
        walk: Walk,
        grader: Grader,
        tokenizer: Any,
        settings: RolloutSettings,
        objective: PolicyGradientSettings,
        seed: int,
        player: Player | None = None,
        ranks: Ranks = ALONE,
    ):
        self.engine, self.walk, self.grader, self.seed = engine, walk, grader, seed
        self.settings, self.objective, self._tokenizer, self._player = settings, objective, tokenizer, player
        self._ranks = ranks

    def gather(self, number: int, first: int, version: int) -> Gathered:
        """The whole batch. Raises Halted where more rewards fail than may, and where what generates is lost."""
        batch = Gathered(number, version, first)
        try:
            for refill in range(self.settings.refill + 1):
                if missing := self.settings.prompts_per_step - len(batch.groups):
                    batch.drawn.refills = refill
                    self._ask(batch, missing)
        except EngineLost as error:
            raise lost(error) from error
        finally:
            self.engine.release()  # keys and values of these weights are of no use any more
        return batch

    def _ask(self, batch: Gathered, count: int) -> None:
        """Add the next ``count`` prompts' answers to the batch, but for what is dropped."""
        settings, drawn, size = self.settings, batch.drawn, self.settings.group_size
        prompts = [self.walk[batch.taken + i] for i in range(count)]
        params = SamplingParams(settings.max_tokens, settings.temperature, seed=self.seed)
        names = [f"{batch.number}/{batch.taken + i}/{p.name}" for i, p in enumerate(prompts)]

        def draw(which: Sequence[int]) -> list[list[Trajectory]]:
            asked, own = [prompts[i] for i in which], [names[i] for i in which]
            numbers = [len(drawn.every) + i for i in which]
            return draw_groups(self.engine, asked, own, params, size, numbers, self.decode, self._player)

        def work() -> list[list[Trajectory]]:
            with drawn.timed("rollout"):
                groups = self._ranks.drawn(draw, count, EngineLost)
            groups = [[replace(one, version=batch.version) for one in group] for group in groups]
            with drawn.timed("reward"), working("rollouts: rewards"):
                return self.grader.grade(self._ranks.mine(prompts), groups)

        groups = self._ranks.done(work, EngineLost)
        batch.taken += count
        drawn.every += groups
        for prompt, group in zip(prompts, map(rewarded, groups), strict=True):
            rewards, counted = self.shaped(group)
            spread = size == 1 or len(set(rewards[counted].tolist())) > 1  # one answer has nothing to differ from
            dropped = not counted.any() or (settings.no_spread == "drop" and not spread)
            drawn.no_spread += not spread
            drawn.dropped += dropped
            if not dropped:
                batch.prompts.append(prompt)
                batch.groups.append(group)
        self._check_failures(batch)

    def decode(self, ids: Sequence[int]) -> str:
        # transformers would otherwise tidy the spaces of what some older tokenizers decode.
        return self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)

    def _check_failures(self, batch: Gathered) -> None:
        """Raises Halted where more answers have no reward than may."""
        every = [one for group in batch.drawn.every for one in group]
        bad = [one for one in every if one.failures]
        if not bad:
            return
        name, why = next(iter(bad[0].failures.items()))
        text = f"rewards.{name}: {len(bad)} of {len(every)} answers have no reward; the first: {bad[0].place}: {why}"
        if len(bad) > self.grader.settings.max_failed * len(every):
            raise Halted(
                f"{text}. grading.max_failed allows {self.grader.settings.max_failed:.0%}; mend the reward; then the "
                "same command with --continue goes on from the checkpoint."
            )
        batch.said.append(f"{text}. They are left out.")

    def shaped(self, several: Sequence[Trajectory]) -> tuple[Tensor, Tensor]:
        """Rewards ``[N]`` after what the objective makes of lengths, and which answers count, bool ``[N]``."""
        return shape_rewards(
            torch.tensor([one.reward for one in several], dtype=torch.float64),
            torch.tensor([one.length for one in several]),
            torch.tensor([one.truncated for one in several], dtype=torch.bool),
            self.settings.max_tokens,
            self.objective,
        )


def lost(error: EngineLost) -> Halted:
    """What ends the run, with a checkpoint, where an engine is lost."""
    return Halted(f"{error} The same command goes on from the checkpoint.")


def rewarded(group: Sequence[Trajectory]) -> list[Trajectory]:
    """Those that have a reward: no part of it failed."""
    return [one for one in group if one.reward is not None]
