"""One answer with all that training needs of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from strop.rollout.engine import Rollout


@dataclass(frozen=True)
class Trajectory:
    """Ids as sampled after their prompt: never decoded and tokenised again.

    ``tokens``: the prompt's and the answer's, the sampled stop token among them; ``loss_weights``: 1 for each token
    that was sampled, else 0; ``rollout_logprobs``: the sampler's, 0 where nothing was sampled; all three of one length.
    ``group``: which prompt of the batch. ``version``: of the weights that sampled all of its tokens, the number of
    batches of rollouts whose updates they had. ``reward``: None where a part of it failed; ``parts``: scores by name,
    before their weights; ``reasons`` and ``failures``: words by the part's name. As a `Trainable` it goes into a batch.
    """

    place: str
    group: int
    sample: int
    tokens: tuple[int, ...]
    loss_weights: tuple[float, ...]
    rollout_logprobs: tuple[float, ...]
    finish_reason: Literal["stop", "length", "cancelled"]
    text: str
    reward: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    version: int = 0

    def __post_init__(self):
        if not len(self.tokens) == len(self.loss_weights) == len(self.rollout_logprobs):
            raise ValueError(
                f"{self.place}: {len(self.tokens)} tokens, {len(self.loss_weights)} weights and "
                f"{len(self.rollout_logprobs)} log-probabilities; one of each belongs to a token."
            )

    @property
    def length(self) -> int:
        """Sampled tokens."""
        return sum(weight > 0 for weight in self.loss_weights)

    def state_dict(self) -> dict[str, Any]:
        """In plain values, as a checkpoint holds it; ``Trajectory.of_state`` gives it back."""
        return dict(vars(self))

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Trajectory:
        return cls(**state)

    @property
    def truncated(self) -> bool:
        return self.finish_reason != "stop"


def trajectory(rollout: Rollout, place: str, group: int, text: str) -> Trajectory:
    """Of an answer to one prompt: every sampled token is trained, the prompt is not."""
    before = (0.0,) * len(rollout.prompt)
    return Trajectory(
        place,
        group,
        rollout.sample,
        rollout.prompt + rollout.tokens,
        before + (1.0,) * len(rollout.tokens),
        before + rollout.plain_logprobs,
        rollout.finish_reason,
        text,
    )


def shown(one: Trajectory, tokens: list[str], advantages: list[float]) -> dict[str, Any]:
    """For people and JSON: ``tokens`` are the sampled ones as text, each with its advantage."""
    return {
        "answer": one.text,
        "reward": one.reward,
        "parts": one.parts,
        "reasons": {name: why for name, why in one.reasons.items() if why},
        **({"failures": one.failures} if one.failures else {}),
        "finish_reason": one.finish_reason,
        "version": one.version,
        "tokens": [[token, round(value, 6)] for token, value in zip(tokens, advantages, strict=True)],
    }
