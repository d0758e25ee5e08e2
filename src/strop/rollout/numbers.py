"""What is told of a batch of rollouts in metrics.jsonl."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from strop.rollout.trajectory import Trajectory

QUANTILES = ("_p10", "_p50", "_p90")


@dataclass
class Drawn:
    """All that was sampled for a batch, also what was dropped of it, and how long everything took."""

    every: list[list[Trajectory]] = field(default_factory=list)
    refills: int = 0
    no_spread: int = 0  # groups whose rewards are all equal
    dropped: int = 0  # groups that are not trained on
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - started


def numbers_of(drawn: Drawn, grading: Collection[str], now: int) -> dict[str, float]:
    """Means over all answers that were sampled; ``grading``: the parts of the reward by which an answer passes;
    ``now``: the version of the weights that are trained.

    ``reward`` and ``reward/<part>`` with ``_std`` and `quantiles`; ``failed`` and ``failed/<part>``, shares of answers
    without a reward; ``rollout/…``: ``pass_rate`` (answers with 1 in every grading part) and ``group_pass_rate``
    (groups with such an answer); ``no_spread``, ``dropped``, ``refills``; ``length`` and ``length_max`` (tokens);
    ``stop_rate`` and ``truncated``, shares that ended by themselves and that were cut off at a length (others an
    environment ended); ``entropy``, minus the mean log-probability of what was sampled, nats; ``most_common_answer``,
    the share of all answers that are the same text (0 where one prompt was asked); ``empty``, of those without a text,
    or without a program where a task runs one; ``version_lag``, by how many batches' updates the weights that sampled a
    token were older; ``tokens_per_second`` of generation; ``seconds/…``: of rollouts, rewards and what is measured
    before the first update. Beside an environment what it counts, in the mean over all trajectories: ``turns``,
    ``segments``, ``calls``, ``malformed`` …
    """
    every = [one for group in drawn.every for one in group]
    rewarded = [one for one in every if one.reward is not None]
    lengths = np.array([one.length for one in every])
    found = _spread("reward", [one.reward for one in every if one.reward is not None])
    for name in dict.fromkeys(name for one in rewarded for name in one.parts):
        found |= _spread(f"reward/{name}", [one.parts[name] for one in rewarded if name in one.parts])
    failures = Counter(name for one in every for name in one.failures)
    found["failed"] = 1 - len(rewarded) / len(every)
    found |= {f"failed/{name}": count / len(every) for name, count in failures.items()}
    if grading:
        passed = [[passes(one, grading) for one in group] for group in drawn.every]
        found["rollout/pass_rate"] = float(np.mean([x for group in passed for x in group]))
        found["rollout/group_pass_rate"] = float(np.mean([any(group) for group in passed]))
    groups = len(drawn.every)
    asked = len({one.segments[0].prompt for one in every})
    sampled = sum(sum(part.rollout_logprobs) for one in every for part in one.segments)
    found |= {
        "rollout/groups": groups,
        "rollout/no_spread": drawn.no_spread / groups,
        "rollout/dropped": drawn.dropped / groups,
        "rollout/refills": drawn.refills,
        "rollout/length": float(lengths.mean()),
        "rollout/length_max": int(lengths.max()),
        "rollout/stop_rate": float(np.mean([one.finish_reason == "stop" for one in every])),
        "rollout/truncated": float(np.mean([one.finish_reason == "length" for one in every])),
        "rollout/entropy": -sampled / max(1, int(lengths.sum())),
        "rollout/most_common_answer": (
            Counter(one.text for one in every).most_common(1)[0][1] / len(every) if asked > 1 else 0.0
        ),
        "rollout/empty": float(np.mean([_is_empty(one) for one in every])),
        "rollout/version_lag": sum((now - one.version) * one.length for one in every) / max(1, int(lengths.sum())),
        "rollout/tokens_per_second": int(lengths.sum()) / max(drawn.seconds["rollout"], 1e-9),
        **{f"seconds/{name}": seconds for name, seconds in drawn.seconds.items()},
    }
    for name in dict.fromkeys(name for one in every for name in one.counts):
        found[f"rollout/{name}"] = float(np.mean([one.counts.get(name, 0) for one in every]))
    return found


def _is_empty(one: Trajectory) -> bool:
    return not one.text.strip() or any(why.startswith("no_code") for why in one.reasons.values())


def beside_training(drawn: Drawn, waited: float) -> dict[str, float]:
    """What is told instead where the batch was made beside training: of the step's time it has what was ``waited``
    (seconds); what making it took is ``rollout/ahead_seconds`` and ``rollout/ahead_reward_seconds``."""
    return {
        "seconds/rollout": waited,
        "seconds/reward": 0.0,
        "rollout/ahead_seconds": drawn.seconds["rollout"],
        "rollout/ahead_reward_seconds": drawn.seconds["reward"],
    }


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {name: float(np.mean(values)), f"{name}_std": float(np.std(values)), **quantiles(name, values)}


def quantiles(name: str, values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Where a tenth, half and nine tenths of the values (one or more) lie: ``<name>_p10``, ``_p50`` and ``_p90``."""
    found = np.quantile(values, [int(end[2:]) / 100 for end in QUANTILES])
    return {f"{name}{end}": float(value) for end, value in zip(QUANTILES, found, strict=True)}


def passes(one: Trajectory, grading: Collection[str]) -> bool:
    """Whether an answer is right: it has a reward, and 1 in every part of ``grading`` that applies to it."""
    own: Mapping[str, float] = {name: one.parts[name] for name in grading if name in one.parts}
    return one.reward is not None and bool(own) and all(score >= 1 for score in own.values())
