"""Alarms about rollouts: each a named comparison of a batch's metrics with fixed bounds or with the first batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from strop.rollout.settings import WatchSettings

RECENT = 5
"""Batches whose mean reward counts as that of a measurement."""
_KEPT = ("entropy", "reward", "stop_rate", "truncated", "length")


class Watch:
    """`look` at every batch's metrics; what it says is worth saying once, until it is over and comes again."""

    def __init__(self, settings: WatchSettings):
        self.settings = settings
        self.seen = 0
        self._first: dict[str, float] = {}  # sums over the first batches
        self._for: dict[str, int] = {}  # batches in a row, by alarm
        self._since: dict[str, int] = {}  # the last step before it, by alarm
        self._recent: list[float] = []  # rewards
        self._held_out: dict[str, dict[str, Any]] = {}  # by metric: where it was best, and how far it fell since

    def look(self, metrics: Mapping[str, float], step: int = 0) -> dict[str, str]:
        """The alarms that begin with this batch, which comes after ``step`` steps: name -> a sentence."""
        if "reward" not in metrics:  # every reward failed, which is told elsewhere
            return {}
        self._recent = [*self._recent, metrics["reward"]][-RECENT:]
        now = dict(self._found(metrics)) if self.seen >= self.settings.first else dict(self._absolute(metrics))
        if self.seen < self.settings.first:
            for name in _KEPT:
                self._first[name] = self._first.get(name, 0.0) + metrics[name] / self.settings.first
        self.seen += 1
        self._for = {name: self._for.get(name, 0) + 1 for name in now}
        self._since = {name: self._since.get(name, self._good(name, step)) for name in now}
        begun = {name: text for name, text in now.items() if self._for[name] == self.settings.patience}
        return {name: text for name, text in begun.items() if name in self.raised}

    def measured(self, step: int, falls: Mapping[str, tuple[int, float]]) -> None:
        """Held-out metrics after ``step`` steps: name -> the step at which it was best, and its certain fall since."""
        reward = sum(self._recent) / len(self._recent) if self._recent else None
        for name, (best, fall) in falls.items():
            known = self._held_out.get(name)
            kept = {"step": step, "reward": reward} if known is None or best == step else known
            self._held_out[name] = {**kept, "fall": fall}

    def since(self, names: Iterable[str]) -> int:
        """The last step before any of these alarms."""
        return min(self._since[name] for name in names)

    def trusted(self, step: int) -> int:
        """The last step, ``step`` or one before it, of which no alarm that there is or may come says that it was too
        late."""
        return min([step, *self._since.values(), *(one["step"] for one in self._held_out.values())])

    def _good(self, name: str, step: int) -> int:
        if name != "overoptimization":
            return step
        return min(one["step"] for one in self._overoptimized().values())

    def _overoptimized(self) -> dict[str, dict[str, Any]]:
        """The held-out metrics that fell while the reward rose."""
        limit, now = self.settings.overoptimization, sum(self._recent) / max(1, len(self._recent))
        return {
            name: one
            for name, one in self._held_out.items()
            if limit is not None
            and one["fall"] > limit
            and now > (self._first["reward"] if one["reward"] is None else one["reward"])
        }

    @property
    def raised(self) -> list[str]:
        """The alarms that hold at this batch; of answers that are cut off, and so do not end by themselves, there is
        one."""
        found = {name for name, count in self._for.items() if count >= self.settings.patience}
        return sorted(found - {"truncation"} if "stop_rate" in found else found)

    def _found(self, m: Mapping[str, float]) -> Iterator[tuple[str, str]]:
        yield from self._absolute(m)
        s, first = self.settings, self._first
        if (
            s.entropy_collapse
            and m["entropy"] < s.entropy_collapse * first["entropy"]
            and m["reward"] <= first["reward"]
        ):
            yield (
                "entropy_collapse",
                f"the entropy fell from {first['entropy']:.3f} to {m['entropy']:.3f} nats per token and the reward did "
                "not rise: the policy has stopped trying. Lower learning_rate, or raise clip_high or the entropy's "
                "coefficient.",
            )
        if s.stop_rate and m["stop_rate"] < first["stop_rate"] - s.stop_rate:
            yield (
                "stop_rate",
                f"answers that end by themselves fell from {first['stop_rate']:.0%} to {m['stop_rate']:.0%} (cut off "
                f"at the limit: {first['truncated']:.0%}, now {m['truncated']:.0%}): the model unlearns to stop. Add a "
                "reward of kind stop or length, lower learning_rate, or raise max_tokens or max_turns.",
            )
        if s.truncation and m["truncated"] > first["truncated"] + s.truncation:
            yield (
                "truncation",
                f"answers that are cut off rose from {first['truncated']:.0%} to {m['truncated']:.0%}: raise "
                "max_tokens, or add a reward of kind length.",
            )
        ratio = m["length"] / first["length"] if first["length"] else 1.0
        if s.length and not 1 / s.length <= ratio <= s.length:
            yield (
                "length",
                f"the mean length went from {first['length']:.0f} to {m['length']:.0f} tokens: look in rollouts/ "
                "if that is wanted; a constant reduction or a reward of kind length acts on it.",
            )

        for name, one in self._overoptimized().items():
            yield (
                "overoptimization",
                f"{name} has fallen by more than {one['fall']:.3f} since step {one['step']} while the reward rose to "
                f"{sum(self._recent) / len(self._recent):.3f}: the reward is won by something else than what is "
                "wanted. Look at rollouts/, and mend the reward or raise kl_coef.",
            )

    def _absolute(self, m: Mapping[str, float]) -> Iterator[tuple[str, str]]:
        s = self.settings
        if s.constant_answers and m["most_common_answer"] >= s.constant_answers:
            yield (
                "constant_answers",
                f"{m['most_common_answer']:.0%} of all answers, whatever was asked, are the same text: the reward "
                "can be had without reading the prompt, or the policy has collapsed. Look at rollouts/.",
            )
        if s.kl and m.get("kl_to_reference", 0.0) > s.kl:
            yield (
                "kl",
                f"the policy is {m['kl_to_reference']:.2f} nats per token from its reference: raise kl_coef, or lower "
                "learning_rate.",
            )
        if s.no_spread and m["no_spread"] >= s.no_spread:
            yield (
                "no_spread",
                f"in {m['no_spread']:.0%} of the groups all rewards are equal (mean {m['reward']:.3f}), so nothing is "
                "learnt from them: all is solved or out of reach. Stop here, or give other prompts or a finer reward.",
            )
        if s.empty_answers and m.get("empty", 0.0) >= s.empty_answers:
            yield (
                "empty_answers",
                f"{m['empty']:.0%} of all answers hold nothing (no text, or no program where one is asked for): look "
                "at rollouts/, and give a reward that an empty answer does not get.",
            )
        if s.mismatch and m.get("mismatch", 0.0) > s.mismatch:
            yield (
                "mismatch",
                f"sampler and trainer differ by {m['mismatch']:.3f} nats per token about the same tokens, so what is "
                "trained is not what was sampled: lower learning_rate where rollouts run ahead (staleness 1), else try "
                "compute.dtype=float32.",
            )

    def state_dict(self) -> dict[str, Any]:
        return {
            "seen": self.seen,
            "first": dict(self._first),
            "for": dict(self._for),
            "since": dict(self._since),
            "recent": list(self._recent),
            "held_out": {name: dict(one) for name, one in self._held_out.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self._first, self._for = state["seen"], dict(state["first"]), dict(state["for"])
        self._since, self._recent = dict(state.get("since", {})), list(state.get("recent", ()))
        self._held_out = {name: dict(one) for name, one in state.get("held_out", {}).items()}
