"""Alarms about rollouts: each a named comparison of a batch's metrics with fixed bounds or with the first batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from strop.rollout.settings import WatchSettings

_KEPT = ("entropy", "reward", "stop_rate", "truncated", "length")


class Watch:
    """`look` at every batch's metrics; what it says is worth saying once, until it is over and comes again."""

    def __init__(self, settings: WatchSettings):
        self.settings = settings
        self.seen = 0
        self._first: dict[str, float] = {}  # sums over the first batches
        self._for: dict[str, int] = {}  # batches in a row, by alarm

    def look(self, metrics: Mapping[str, float]) -> dict[str, str]:
        """The alarms that begin with this batch: name -> a sentence."""
        if "reward" not in metrics:  # every reward failed, which is told elsewhere
            return {}
        now = dict(self._found(metrics)) if self.seen >= self.settings.first else dict(self._absolute(metrics))
        if self.seen < self.settings.first:
            for name in _KEPT:
                self._first[name] = self._first.get(name, 0.0) + metrics[name] / self.settings.first
        self.seen += 1
        self._for = {name: self._for.get(name, 0) + 1 for name in now}
        return {name: text for name, text in now.items() if self._for[name] == self.settings.patience}

    @property
    def raised(self) -> list[str]:
        """The alarms that hold at this batch."""
        return sorted(name for name, count in self._for.items() if count >= self.settings.patience)

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
                f"answers that end by themselves fell from {first['stop_rate']:.0%} to {m['stop_rate']:.0%}: the model "
                "unlearns to stop. Add a reward of kind stop or length, or lower learning_rate.",
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
        if s.mismatch and m.get("mismatch", 0.0) > s.mismatch:
            yield (
                "mismatch",
                f"sampler and trainer differ by {m['mismatch']:.3f} nats per token about the same tokens, so what is "
                "trained is not what was sampled: lower learning_rate where rollouts run ahead (staleness 1), else try "
                "compute.dtype=float32.",
            )

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "first": dict(self._first), "for": dict(self._for)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self._first, self._for = state["seen"], dict(state["first"]), dict(state["for"])
