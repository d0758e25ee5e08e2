"""The source of reinforcement learning: it asks, grades, gives credit, and hands out batches like any other source."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from strop.common.alarms import answer
from strop.common.errors import Halted, InputError
from strop.data.batch import Batch, make_batch
from strop.data.counter import permutation
from strop.data.mixture import Mixture
from strop.data.source import fill
from strop.data.step import Step
from strop.data.walk import Walk
from strop.model.policy import Policy
from strop.objectives.advantages import credit
from strop.objectives.kl import AdaptiveKL, kl_estimate
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.rollout.ahead import Ahead
from strop.rollout.engine import Engine, EngineLost
from strop.rollout.gather import Gathered, Gatherer, lost
from strop.rollout.grading import Grader
from strop.rollout.kept import write_rollouts
from strop.rollout.numbers import beside_training, numbers_of, quantiles
from strop.rollout.ranks import ALONE, Ranks
from strop.rollout.rows import NOTHING, Rows, measure, packed, rows_of, unpacked, with_ends
from strop.rollout.settings import RolloutSettings, WatchSettings
from strop.rollout.trajectory import Trajectory
from strop.rollout.turns import Player
from strop.rollout.watch import Watch

_STATE = 3


class RolloutSource:
    """A batch of rollouts and then the updates on it, without end.

    The prompts of a batch are the next ones of ``mixture`` (`Gatherer`). ``policy`` answers through ``engine``, and
    tells the log-probabilities of the tokens (and their values) before the first update, on the rows that are then
    trained. ``reference``: a frozen policy; None: ``policy`` without its adapters. It is asked only where the
    objective's ``kl_coef`` is not 0.

    With ``staleness: 1`` the next batch is made while this one is trained on, by the weights before its updates; the
    engine has to have a copy of its own. No batch is begun that would come after step ``last_step``. `close` it.

    A batch is committed when it is whole: whatever is raised on the way (a signal's KeyboardInterrupt, `Halted`), the
    state is that before it. The state holds the batch that is made ahead, and waits for it; where making it failed, it
    is made again, by the weights of then. Of several ``ranks`` each asks and grades its share of the prompts; all have
    the whole batch, and train their shares of its rows.

    ``folder``: where ``rollouts/step-NNNNNN.jsonl`` are written. ``player``: of the environment, where answers have
    several turns.

    Raises:
        Halted: where more rewards fail than may, what generates is lost, or an alarm is to stop the run.
        RollBack: where an alarm is to take it back.
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
        last_step: int | None = None,
        player: Player | None = None,
        say: Callable[[str], None] = lambda line: None,
        ranks: Ranks = ALONE,
    ):
        self.policy, self.engine, self.grader = policy, engine, grader
        self.settings, self.objective, self.seed = settings, objective, seed
        self.micro_batch_tokens, self.folder, self.say = micro_batch_tokens, folder, say
        self._reference, self._last_step = reference, last_step
        self._ranks = ranks
        shared = ranks.beside() if settings.staleness else ranks
        self._gatherer = Gatherer(engine, Walk(mixture), grader, tokenizer, settings, objective, seed, player, shared)
        self._ahead = Ahead()
        self._coef = AdaptiveKL(objective.kl_coef, objective.kl_target)
        watch = watch or WatchSettings()
        # Of groups with equal rewards other objectives learn as of all others.
        self._watch = Watch(watch if objective.within_groups else watch.model_copy(update={"no_spread": None}))
        self.taken = 0  # prompts asked so far, over all epochs
        self._reached = 0  # the same with those of a batch that is not committed
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
        return Step(self._ranks.rows(self._mini[self._order.pop(0)], fill), metrics)

    # -- a batch of rollouts

    def _roll_out(self) -> dict[str, float]:
        started, ahead = time.perf_counter(), bool(self._ahead)
        batch = self._ahead.wait() if ahead else self._gather()
        waited = time.perf_counter() - started
        self._reached = batch.taken
        mini, metrics, kl = self._updates(batch)
        if ahead:
            metrics |= beside_training(batch.drawn, waited)
        begun = self._alarms(metrics)
        # From here on nothing fails: the batch is the source's.
        self.alarms += begun
        for line in batch.said:
            self.say(line)
        if kl is not None:
            self._coef.update(kl)
        self.taken, self.rollouts, self._mini = batch.taken, self.rollouts + 1, mini
        self._order = [i for number in range(self.settings.updates_per_rollout) for i in self._pass(number)]
        self._ahead.put(None)
        more = self._last_step is None or self.given + len(self._order) < self._last_step
        if self.settings.staleness and more:
            self._begin_ahead()
        return metrics | {f"alarm/{name}": 1.0 for name in self._watch.raised}

    def _gather(self) -> Gathered:
        """The next batch, by the weights of now."""
        with self._ranks.whole():
            self._sync()
            return self._gatherer.gather(self.rollouts, self.taken, version=self.rollouts)

    def _begin_ahead(self) -> None:
        """Have the next batch made by the weights of now, which lack the updates on the batch at hand."""
        try:
            with self._ranks.whole():
                self._sync()
        except Halted as error:
            return self._ahead.fail(error)
        self._ahead.start(partial(self._gatherer.gather, self.rollouts, self.taken, version=self.rollouts - 1))

    def _sync(self) -> None:
        """Raises Halted where the engine is lost."""

        def sync() -> list[None]:
            self.engine.sync()
            return []

        try:
            self._ranks.done(sync, EngineLost)
        except EngineLost as error:
            raise lost(error) from error

    def close(self) -> None:
        """End what is still done beside the training, after the engine is closed."""
        self._ahead.end()
        self.grader.workers.close()

    def _pass(self, number: int) -> list[int]:
        """The order of the parts in a pass over the batch: as they are, then shuffled."""
        count = len(self._mini)
        if number == 0:
            return list(range(count))
        return permutation(f"strop pass, seed {self.seed}, batch {self.rollouts}, {number}", count).tolist()

    # -- credit and rows

    def _updates(self, batch: Gathered) -> tuple[list[list[Batch]], dict[str, float], float | None]:
        """The batch in parts, each the rows of an optimiser step; what is told of it; the divergence (nats per answer)
        that the penalty in the reward is made of, if there is one."""
        settings, drawn = self.settings, batch.drawn
        every = [one for group in batch.groups for one in group]
        metrics = numbers_of(drawn, self.grader.grading, batch.number)
        if not every:
            self.say(f"batch {self.rollouts + 1}: every group was dropped, so this step trains nothing.")
            return [[make_batch([NOTHING])]], metrics, None
        rewards, counted = self._gatherer.shaped(every)
        number = {id(one): n for n, one in enumerate(every)}
        # What does not count is in no row, so that it changes nothing for the others.
        trained = [[one for one in group if counted[number[id(one)]]] for group in batch.groups]
        cut = [rows_of(part, number, self.micro_batch_tokens) for part in shared_out(trained, settings.mini_batches)]
        rows = Rows.joined(cut)
        with drawn.timed("measure"):
            streams, told, after = self._before(rows, torch.tensor([one.truncated for one in every]))
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
            bootstrap=after,
        )
        streams["advantages"] = given.advantages
        if given.returns is not None:
            streams["returns"] = given.returns
        done = rows.with_streams(streams)
        every_so_many = settings.keep_every
        if self.folder is not None and every_so_many is not None and self.rollouts % every_so_many == 0:
            path = self.folder / "rollouts" / f"step-{self.given + 1:06d}.jsonl"
            decode, grading = self._gatherer.decode, self.grader.grading
            write_rollouts(path, batch, given.advantages, rows.owner, number, decode, grading)
        metrics |= {
            **told,
            **{f"rollout/{name}": value for name, value in given.metrics.items()},
            "rollout/advantage_mean": given.advantages.mean().item(),
            "rollout/advantage_std": given.advantages.std(correction=0).item(),
            **quantiles("rollout/advantage", given.advantages.numpy()),
            "seconds/measure": drawn.seconds["measure"],
            **({"rollout/kl_coef": self._coef.coef} if self.objective.kl_target else {}),
        }
        taken = iter(done)
        return [list(islice(taken, len(one.batches))) for one in cut], metrics, given.metrics.get("kl_penalty")

    def _before(self, rows: Rows, truncated: Tensor) -> tuple[dict[str, Tensor], dict[str, float], Tensor | None]:
        """What is known of every trained token before the first update, ``[S]`` each; what is told of it; and with
        ``truncated: bootstrap`` the value after each answer that is ``truncated`` (bool ``[N]``), 0 for the others.

        Where every row is trained once, the objective takes the log-probabilities of its own pass for the old ones, and
        with ``correction: direct`` the sampler's; then they are measured here on one row alone, for the alarm.
        """
        objective, temperature = self.objective, self.settings.temperature
        values = ("values",) if objective.uses_values else ()
        in_reward = objective.uses_reference and objective.kl_place == "reward"
        every = in_reward or not (self.one_update or objective.correction == "direct")
        streams: dict[str, Tensor] = {}
        after = None
        sampler = rows.stream("rollout_logprobs")
        if every or values:
            want = (*(("logprobs",) if every else ()), *values)
            found, after = self._measured_to_the_end(rows, want, truncated)
            streams |= {f"old_{name}": value for name, value in found.items()}
        old = streams.get("old_logprobs")
        if old is None:
            old = measure(self.policy, rows.batches[:1], ("logprobs",), temperature)["logprobs"]
        apart = (old - sampler[: len(old)]).abs()
        told = {"rollout/mismatch": apart.mean().item(), "rollout/mismatch_max": apart.max().item()}
        if objective.uses_reference:
            with nullcontext() if self._reference else self.policy.reference():
                found = self._measured(self._reference or self.policy, rows, ("logprobs",))
            streams["ref_logprobs"] = found["logprobs"]
            now = streams.get("old_logprobs", sampler)
            told["rollout/kl_to_reference"] = kl_estimate(now, found["logprobs"], "k3").mean().item()
        return streams, told, after

    def _measured_to_the_end(
        self, rows: Rows, want: Sequence[str], truncated: Tensor
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Outputs of the policy at the trained positions, and the values after truncated answers as `_before` says."""
        if self.objective.truncated != "bootstrap":
            return self._measured(self.policy, rows, want), None
        longer, added = with_ends(rows, truncated)
        found = self._measured(self.policy, longer, want)
        after = torch.zeros(len(truncated)).index_copy(0, longer.owner[added], found["values"][added])
        return {name: values[~added] for name, values in found.items()}, after

    def _measured(self, policy: Policy, rows: Rows, want: Sequence[str]) -> dict[str, Tensor]:
        """Outputs at the trained positions of all rows, of which each rank measures its share."""
        mine = self._ranks.rows(rows.batches, fill)
        each = [measure(policy, [batch], want, self.settings.temperature) for batch in mine]
        every = self._ranks.joined(each[: len(self._ranks.mine(rows.batches))])
        return {name: torch.cat([one[name] for one in every]) for name in want}

    def _alarms(self, metrics: Mapping[str, float]) -> list[str]:
        """The alarms that begin, as they are said. Raises Halted where one is to stop the run."""
        before = self._watch.state_dict()
        told = {name.removeprefix("rollout/"): value for name, value in metrics.items()}
        begun = self._watch.look(told, self.given)
        lines = [f"alarm {name}, at step {self.given + 1}: {text}" for name, text in begun.items()]
        for line in lines:
            self.say(line)
        settings = self._watch.settings
        if lines and settings.alarm != "warn":
            since = self._watch.since(begun)
            self._watch.load_state_dict(before)
            answer(settings.alarm, "watch.alarm", lines[0], since, settings.max_rollbacks)
        return lines

    def measured(self, step: int, falls: Mapping[str, tuple[int, float]]) -> None:
        """Held-out metrics were measured: see `Watch.measured`."""
        self._watch.measured(step, falls)

    @property
    def trusted(self) -> int:
        """The last step of which no alarm says, or may say later, that something was amiss."""
        return self._watch.trusted(self.given)

    def roll_back(self, state: dict[str, Any], reason: str) -> None:
        """Back to an earlier ``state``, but on with the prompts that come after those of now, with draws of their own
        (Chowdhery et al. 2022, arXiv:2204.02311, section 5.1: the batches around a spike are left out). Left out is
        all that the batch at fault asked, its refills too."""
        self._ahead.whole()  # what makes it has the engine until then
        taken = max(self.taken + self.settings.prompts_per_step, self._reached)
        rollouts, alarms = self.rollouts + 1, self.alarms
        self.load_state_dict(state)
        self._ahead.put(None)  # of prompts that are left out, as is the rest of a batch that was trained in part
        self._mini, self._order = [], []
        self.taken, self.rollouts = taken, rollouts
        self.alarms = [*alarms, f"{reason} The run went back to step {self.given}."]

    # -- resuming

    def state_dict(self) -> dict[str, Any]:
        ahead = self._ahead.whole()
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
            "prompts": self._gatherer.walk.mixture.fingerprint,
            "ahead": ahead and ahead.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises InputError when the state belongs to other prompts, another mix of them, or another seed."""
        if state.get("version") != _STATE:
            raise InputError("the checkpoint is of another version of strop; start in a new run folder.")
        if state["seed"] != self.seed or state["prompts"] != self._gatherer.walk.mixture.fingerprint:
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
        self._ahead.put(Gathered.of_state(state["ahead"], self._gatherer.walk) if state["ahead"] else None)


def shared_out(groups: Sequence[list[Trajectory]], parts: int) -> list[list[list[Trajectory]]]:
    """Groups in ``parts`` parts of about as many each, in order; fewer parts where there are not enough groups."""
    bounds = [len(groups) * i // parts for i in range(parts + 1)]
    return [list(groups[a:b]) for a, b in pairwise(bounds) if a < b]
