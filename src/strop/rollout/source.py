"""The source of reinforcement learning: it asks, grades, gives credit, and hands out batches like any other source."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from strop.common.errors import Halted, InputError
from strop.common.files import write_jsonl
from strop.data.batch import Batch, make_batch
from strop.data.counter import permutation
from strop.data.mixture import Mixture
from strop.data.step import Step
from strop.data.walk import Walk
from strop.model.policy import Policy
from strop.objectives.advantages import credit, shape_rewards
from strop.objectives.kl import AdaptiveKL, kl_estimate
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.rollout.draw import draw_groups
from strop.rollout.engine import Engine, SamplingParams
from strop.rollout.grading import Grader
from strop.rollout.numbers import Drawn, numbers_of, passes
from strop.rollout.prompts import Prompt
from strop.rollout.rows import NOTHING, Rows, measure, packed, rows_of, unpacked
from strop.rollout.settings import RolloutSettings, WatchSettings
from strop.rollout.trajectory import Trajectory, shown
from strop.rollout.turns import Player
from strop.rollout.watch import Watch

_STATE = 1


@dataclass
class _Batch:
    """What becomes of a batch of rollouts, before any of it is kept in the source."""

    taken: int
    prompts: list[Prompt] = field(default_factory=list)
    groups: list[list[Trajectory]] = field(default_factory=list)
    drawn: Drawn = field(default_factory=Drawn)
    kl: float | None = None  # what the penalty in the reward is made of, nats per answer


class RolloutSource:
    """A batch of rollouts and then the updates on it, without end.

    The prompts of a batch are the next ones of ``mixture``; what answer ``i`` to a prompt draws depends on (seed,
    number of the batch, prompt, i) alone. ``policy`` answers through ``engine``, which reads its weights, and tells the
    log-probabilities of the tokens (and their values) before the first update, on the rows that are then trained.
    ``reference``: a frozen policy; None: ``policy`` without its adapters. It is asked only where the objective's
    ``kl_coef`` is not 0.

    A batch is committed when it is whole: whatever is raised on the way (a signal's KeyboardInterrupt, `Halted`), the
    state is that before it, and the same batch is made again. Of several processes each would ask the same prompts: it
    is for one.

    ``folder``: where ``rollouts/step-NNNNNN.jsonl`` are written. ``player``: of the environment, where answers have
    several turns.

    Raises:
        Halted: where more rewards fail than may, or an alarm is to stop the run.
    """

    steps = None

    def __init__(
        self,
        policy: Policy,
        engine: Engine,
        mixture: Mixture,
        grader: Grader,
        tokenizer: Any,
        settings: RolloutSettings,
        objective: PolicyGradientSettings,
        *,
        micro_batch_tokens: int,
        seed: int = 0,
        reference: Policy | None = None,
        watch: WatchSettings | None = None,
        folder: Path | None = None,
        player: Player | None = None,
        say: Callable[[str], None] = lambda line: None,
    ):
        self.policy, self.engine, self.grader = policy, engine, grader
        self.settings, self.objective, self.seed = settings, objective, seed
        self.micro_batch_tokens, self.folder, self.say = micro_batch_tokens, folder, say
        self._tokenizer, self._reference, self._player = tokenizer, reference, player
        self._walk = Walk(mixture)
        self._coef = AdaptiveKL(objective.kl_coef, objective.kl_target)
        self._watch = Watch(watch or WatchSettings())
        self.taken = 0  # prompts asked so far, over all epochs
        self.rollouts = 0  # batches of rollouts so far
        self.given = 0  # steps given out so far
        self.alarms: list[str] = []  # what was said
        self._mini: list[list[Batch]] = []  # the batch in parts, each the rows of an optimiser step
        self._order: list[int] = []  # which of them are still to come

    @property
    def one_update(self) -> bool:
        """Whether every row is trained once, by the weights that it was measured with."""
        return self.settings.updates_per_rollout == self.settings.mini_batches == 1

    def next_step(self) -> Step:
        metrics = {} if self._order else self._roll_out()
        self.given += 1
        return Step(self._mini[self._order.pop(0)], metrics)

    # -- a batch of rollouts

    def _roll_out(self) -> dict[str, float]:
        batch = _Batch(self.taken)
        for refill in range(self.settings.refill + 1):
            if missing := self.settings.prompts_per_step - len(batch.groups):
                batch.drawn.refills = refill
                self._ask(batch, missing)
        mini, metrics = self._updates(batch)
        begun = self._alarms(metrics)
        # From here on nothing fails: the batch is the source's.
        self.alarms += begun
        if batch.kl is not None:
            self._coef.update(batch.kl)
        self.taken, self.rollouts, self._mini = batch.taken, self.rollouts + 1, mini
        self._order = [i for number in range(self.settings.updates_per_rollout) for i in self._pass(number)]
        return metrics | {f"alarm/{name}": 1.0 for name in self._watch.raised}

    def _pass(self, number: int) -> list[int]:
        """The order of the parts in a pass over the batch: as they are, then shuffled."""
        count = len(self._mini)
        if number == 0:
            return list(range(count))
        return permutation(f"strop pass, seed {self.seed}, batch {self.rollouts}, {number}", count).tolist()

    def _ask(self, batch: _Batch, count: int) -> None:
        """Add the next ``count`` prompts' answers to the batch, but for what is dropped."""
        settings, drawn, size = self.settings, batch.drawn, self.settings.group_size
        prompts = [self._walk[batch.taken + i] for i in range(count)]
        params = SamplingParams(settings.max_tokens, settings.temperature, seed=self.seed)
        names = [f"{self.rollouts}/{batch.taken + i}/{p.name}" for i, p in enumerate(prompts)]
        with drawn.timed("rollout"):
            self.engine.sync()  # the weights have changed since the last batch, whoever noticed it
            try:
                groups = draw_groups(
                    self.engine, prompts, names, params, size, len(drawn.every), self._decode, self._player
                )
            finally:
                self.engine.sync()  # keys and values of these weights are of no use any more
        with drawn.timed("reward"):
            groups = self.grader.grade(prompts, groups)
        batch.taken += count
        drawn.every += groups
        for prompt, group in zip(prompts, groups, strict=True):
            group = [one for one in group if one.reward is not None]
            rewards, counted = self._shaped(group)
            spread = size == 1 or len(set(rewards[counted].tolist())) > 1  # one answer has nothing to differ from
            dropped = not counted.any() or (settings.no_spread == "drop" and not spread)
            drawn.no_spread += not spread
            drawn.dropped += dropped
            if not dropped:
                batch.prompts.append(prompt)
                batch.groups.append(group)
        self._check_failures(drawn)

    def _decode(self, ids: Sequence[int]) -> str:
        # transformers would otherwise tidy the spaces of what some older tokenizers decode.
        return self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)

    def _check_failures(self, drawn: Drawn) -> None:
        """Raises Halted where more answers have no reward than may."""
        every = [one for group in drawn.every for one in group]
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
        self.say(f"{text}. They are left out.")

    def _shaped(self, several: Sequence[Trajectory]) -> tuple[Tensor, Tensor]:
        """Rewards ``[N]`` after what the objective makes of lengths, and which answers count, bool ``[N]``."""
        return shape_rewards(
            torch.tensor([one.reward for one in several], dtype=torch.float64),
            torch.tensor([one.length for one in several]),
            torch.tensor([one.truncated for one in several], dtype=torch.bool),
            self.settings.max_tokens,
            self.objective,
        )

    # -- credit and rows

    def _updates(self, batch: _Batch) -> tuple[list[list[Batch]], dict[str, float]]:
        """The batch in parts, each the rows of an optimiser step, and what is told of it."""
        settings, drawn = self.settings, batch.drawn
        every = [one for group in batch.groups for one in group]
        metrics = numbers_of(drawn, self.grader.grading)
        if not every:
            self.say(f"batch {self.rollouts + 1}: every group was dropped, so this step trains nothing.")
            return [[make_batch([NOTHING])]], metrics
        rewards, counted = self._shaped(every)
        number = {id(one): n for n, one in enumerate(every)}
        # What does not count is in no row, so that it changes nothing for the others.
        trained = [[one for one in group if counted[number[id(one)]]] for group in batch.groups]
        cut = [rows_of(part, number, self.micro_batch_tokens) for part in shared_out(trained, settings.mini_batches)]
        rows = Rows([b for one in cut for b in one.batches], torch.cat([one.owner for one in cut]))
        with drawn.timed("measure"):
            streams, told = self._before(rows)
        given = credit(
            self.objective,
            rewards,
            torch.tensor([g for g, group in enumerate(batch.groups) for _ in group]),
            rows.owner,
            counted=counted,
            kl_coef=self._coef.coef,
            old_logprobs=streams.get("old_logprobs"),
            ref_logprobs=streams.get("ref_logprobs"),
            values=streams.get("old_values"),
        )
        batch.kl = given.metrics.get("kl_penalty")
        streams["advantages"] = given.advantages
        if given.returns is not None:
            streams["returns"] = given.returns
        done = rows.with_streams(streams)
        self._keep(batch, number, rows.owner, given.advantages)
        metrics |= {
            **told,
            **{f"rollout/{name}": value for name, value in given.metrics.items()},
            "rollout/advantage_mean": given.advantages.mean().item(),
            "rollout/advantage_std": given.advantages.std(correction=0).item(),
            "seconds/measure": drawn.seconds["measure"],
            **({"rollout/kl_coef": self._coef.coef} if self.objective.kl_target else {}),
        }
        taken = iter(done)
        return [list(islice(taken, len(one.batches))) for one in cut], metrics

    def _before(self, rows: Rows) -> tuple[dict[str, Tensor], dict[str, float]]:
        """What is known of every trained token before the first update, ``[S]`` each, and what is told of it.

        Where every row is trained once, the objective takes the log-probabilities of its own pass for the old ones;
        then they are measured here on one row alone, for the alarm.
        """
        objective, temperature = self.objective, self.settings.temperature
        values = ("values",) if objective.uses_values else ()
        in_reward = objective.uses_reference and objective.kl_place == "reward"
        every = not self.one_update or in_reward
        streams: dict[str, Tensor] = {}
        sampler = rows.stream("rollout_logprobs")
        if every or values:
            want = (*(("logprobs",) if every else ()), *values)
            found = measure(self.policy, rows.batches, want, temperature)
            streams |= {f"old_{name}": value for name, value in found.items()}
        old = streams.get("old_logprobs")
        if old is None:
            old = measure(self.policy, rows.batches[:1], ("logprobs",), temperature)["logprobs"]
        apart = (old - sampler[: len(old)]).abs()
        told = {"rollout/mismatch": apart.mean().item(), "rollout/mismatch_max": apart.max().item()}
        if objective.uses_reference:
            with nullcontext() if self._reference else self.policy.reference():
                found = measure(self._reference or self.policy, rows.batches, ("logprobs",), temperature)
            streams["ref_logprobs"] = found["logprobs"]
            now = streams.get("old_logprobs", sampler)
            told["rollout/kl_to_reference"] = kl_estimate(now, found["logprobs"], "k3").mean().item()
        return streams, told

    def _alarms(self, metrics: Mapping[str, float]) -> list[str]:
        """The alarms that begin, as they are said. Raises Halted where one is to stop the run."""
        before = self._watch.state_dict()
        begun = self._watch.look({name.removeprefix("rollout/"): value for name, value in metrics.items()})
        lines = [f"alarm {name}, at step {self.given + 1}: {text}" for name, text in begun.items()]
        for line in lines:
            self.say(line)
        if lines and self._watch.settings.alarm == "stop":
            self._watch.load_state_dict(before)
            raise Halted(
                f"{lines[0]} The run stops here since watch.alarm is stop; with watch.alarm=warn the same command "
                "goes on from the checkpoint, and with --continue it does so with other rates."
            )
        return lines

    def _keep(self, batch: _Batch, number: Mapping[int, int], owner: Tensor, advantages: Tensor) -> None:
        """Write every ``keep_every``-th batch to a file, one line for each prompt."""
        every = self.settings.keep_every
        if self.folder is None or every is None or self.rollouts % every:
            return

        def row(prompt: Prompt, group: list[Trajectory]) -> dict[str, Any]:
            answers = []
            for one in batch.drawn.every[group[0].group]:  # those whose reward failed too
                own = advantages[owner == number.get(id(one), -1)].tolist() or [0.0] * one.length
                right = {"right": passes(one, self.grader.grading)} if self.grader.grading else {}
                answers.append(shown(one, self._decode, own) | right)
            truth = json.loads(json.dumps(prompt.truth, default=str))  # a table may hold dates
            return {"name": prompt.name, "messages": prompt.messages, "truth": truth, "answers": answers}

        path = self.folder / "rollouts" / f"step-{self.given + 1:06d}.jsonl"
        write_jsonl(path, (row(p, group) for p, group in zip(batch.prompts, batch.groups, strict=True)))

    # -- resuming

    def state_dict(self) -> dict[str, Any]:
        return {
            "version": _STATE,
            "taken": self.taken,
            "rollouts": self.rollouts,
            "given": self.given,
            "mini": [[packed(batch) for batch in rows] for rows in self._mini] if self._order else [],
            "order": list(self._order),
            "coef": self._coef.state_dict(),
            "watch": self._watch.state_dict(),
            "alarms": list(self.alarms),
            "seed": self.seed,
            "prompts": self._walk.mixture.fingerprint,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises InputError when the state belongs to other prompts, another mix of them, or another seed."""
        if state.get("version") != _STATE:
            raise InputError("the checkpoint is of another version of strop; start in a new run folder.")
        if state["seed"] != self.seed or state["prompts"] != self._walk.mixture.fingerprint:
            raise InputError(
                "the checkpoint was made with other prompts, or another mix or seed of them; use the same, or start in "
                "a new run folder."
            )
        self.taken, self.rollouts, self.given = state["taken"], state["rollouts"], state["given"]
        self._mini = [[unpacked(batch) for batch in rows] for rows in state["mini"]]
        self._order = list(state["order"])
        self._coef.load_state_dict(state["coef"])
        self._watch.load_state_dict(state["watch"])
        self.alarms = list(state["alarms"])


def shared_out(groups: Sequence[list[Trajectory]], parts: int) -> list[list[list[Trajectory]]]:
    """Groups in ``parts`` parts of about as many each, in order; fewer parts where there are not enough groups."""
    bounds = [len(groups) * i // parts for i in range(parts + 1)]
    return [list(groups[a:b]) for a, b in pairwise(bounds) if a < b]
