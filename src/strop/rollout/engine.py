"""What generates: one interface for evaluation, chat and RL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class SamplingParams:
    """How to draw tokens. ``temperature`` 0 is greedy; ``top_p`` below 1 keeps the smallest set of that probability."""

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self):
        if self.max_tokens < 1 or self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError("sampling needs max_tokens >= 1, temperature >= 0 and 0 < top_p <= 1.")


@dataclass(frozen=True)
class Rollout:
    """One generated answer.

    ``tokens``: ids as sampled, the stop token included. ``logprobs``: natural log of the probability with which each
    was drawn (after temperature and ``top_p``; the plain distribution for greedy). ``finish_reason``: ``stop`` (a stop
    token ended it, and only then), ``length`` (``max_tokens`` or the model's window), ``cancelled`` (whoever asked for
    it ended it).
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: Literal["stop", "length", "cancelled"]


class Engine(Protocol):
    """Turns prompts into rollouts; the order of the prompts is kept.

    ``stop_ids`` end an answer; prompt and answer together have at most ``window`` tokens.
    """

    stop_ids: frozenset[int]
    window: int

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        on_token: Callable[[int, int], bool | None] | None = None,
        on_finished: Callable[[int, Rollout], None] | None = None,
    ) -> list[Rollout]:
        """``on_token(prompt index, token)`` is called as tokens come; when it returns True that answer ends there.

        ``on_finished(prompt index, rollout)`` is called for each answer as soon as it is complete.
        """
        ...
