"""One trajectory as it grows: ids as sampled, what stands between them, and what is told of its turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from strop.chat import Message
from strop.environments.base import PART, Environment, Start
from strop.rollout.answers import answer_text
from strop.rollout.engine import Rollout
from strop.rollout.trajectory import Ending, Segment, ShownTurn, Trajectory

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Opening:
    """What is asked: ``ids`` of the prompt, under a ``name`` of its own in the batch. ``text``: the prompt as text,
    None where it is no conversation, and nothing can stand after the first turn."""

    name: str
    start: Start
    ids: Sequence[int]
    text: str | None = None


@dataclass(eq=False)
class Episode:
    """``ids``, ``weights`` (1: sampled) and ``logprobs`` (the sampler's, 0 where nothing was sampled) are of the
    segment that it is in; ``text`` is what stood before the turn. ``left``: tokens that may still be sampled.

    ``finish``, why it ended: ``stop`` (the environment is done), ``length`` (no token is left, or no room), ``turns``
    (no turn is left), ``cancelled`` (the environment failed: ``failure``).
    """

    opening: Opening
    sample: int
    environment: Environment
    left: int
    messages: list[Any]
    text: str | None
    ids: list[int]
    weights: list[float]
    logprobs: list[float]
    earlier: list[Segment] = field(default_factory=list)
    turns: list[ShownTurn] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    reward: float | None = None
    finish: Ending | None = None
    failure: str = ""
    answer: str = ""
    number: int = 1  # of the turn
    rounds: int = 0  # of generation
    begin: int = 0  # where in ids the turn begins
    paused: bool = False
    asked: int = 0  # messages that the prompt has
    message: Message | None = None  # what the newest turn that was answered is read as

    @classmethod
    def of(cls, opening: Opening, sample: int, environment: Environment, max_tokens: int) -> Episode:
        messages, n = list(environment.reset(opening.start)), len(opening.ids)
        return cls(opening, sample, environment, max_tokens, messages, opening.text, list(opening.ids), [0.0] * n,
                   [0.0] * n, begin=n, asked=len(messages))  # fmt: skip

    @property
    def request_name(self) -> str:
        """What the draws of a continued turn depend on beside the seed."""
        return f"{self.opening.name}\0{self.sample}\0{self.rounds}"

    def room(self, window: int, longest: int | None) -> int:
        """Tokens that the next turn may have: of those left, of the model's window, of a row with all segments."""
        rows = window if longest is None else longest - sum(len(one.tokens) for one in self.earlier)
        return min(self.left, window - len(self.ids), rows - len(self.ids))

    def take(self, rollout: Rollout, decode: Decode, stop_ids: frozenset[int]) -> None:
        """What was sampled after ``ids``."""
        before = decode(self.ids[self.begin :]) if len(self.ids) > self.begin else ""
        self.answer = before + answer_text(rollout, decode, stop_ids)
        self.rounds += 1
        self.left -= len(rollout.tokens)
        self.paused = rollout.finish_reason == "cancelled"
        n = len(rollout.tokens)
        self._add(rollout.tokens, [1.0] * n, rollout.plain_logprobs or [0.0] * n)
        if rollout.finish_reason == "length":
            self.end_turn()
            self.finish = "length"

    def insert(self, ids: Sequence[int], text: str) -> None:
        """What nobody sampled, within a turn or between two."""
        self._add(ids, [0.0] * len(ids), [0.0] * len(ids))
        self.answer += text

    def _add(self, ids: Sequence[int], weights: Sequence[float], logprobs: Sequence[float]) -> None:
        self.ids += ids
        self.weights += weights
        self.logprobs += logprobs

    def end_turn(self, calls: Sequence[Any] = (), malformed: str = "") -> None:
        """Keep the turn as people are shown it."""
        ids, sampled = self.ids[self.begin :], [weight > 0 for weight in self.weights[self.begin :]]
        self.turns.append(ShownTurn("assistant", self.answer, tuple(ids), tuple(sampled), tuple(calls), malformed))

    def next_turn(self, text: str, ids: Sequence[int], same: bool) -> None:
        """Go on after ``text``, the whole of what stands before the turn: ``ids`` are what is new of it, or all of it
        in a new segment (not ``same``), since the template rewrote what was there."""
        if same:
            self._add(ids, [0.0] * len(ids), [0.0] * len(ids))
        else:
            self.earlier.append(self._segment())
            self.ids, self.weights, self.logprobs = list(ids), [0.0] * len(ids), [0.0] * len(ids)
        self.text, self.begin, self.number = text, len(self.ids), self.number + 1

    def end(self, why: Ending) -> None:
        """It ends here; a turn that it ends within is kept."""
        if self.paused:
            self.end_turn()
        self.finish = why

    def fail(self, why: str) -> None:
        self.failure = why
        self.end("cancelled")

    def _segment(self) -> Segment:
        """Up to the last token that was sampled: nothing is learnt from what stands after it, and no row has to hold
        what there was no room to answer."""
        end = next((i for i in range(len(self.weights), 0, -1) if self.weights[i - 1]), 0)
        ids, weights, logprobs = self.ids[:end], self.weights[:end], self.logprobs[:end]
        return Segment(self.opening.start.name, tuple(ids), tuple(weights), tuple(logprobs))

    def trajectory(self, group: int) -> Trajectory:
        """As training has it. A last segment in which nothing was sampled is left out."""
        assert self.finish is not None  # it has ended
        *earlier, last = [one for one in [*self.earlier, self._segment()] if any(one.loss_weights)]
        reward, reasons = self.reward, {}
        if reward is None and self.environment.rewards and not self.failure:
            reward, reasons = self.environment.unrewarded, {PART: "it ended before the environment gave a reward"}
        parts = {} if reward is None else {PART: reward}
        counts = {"turns": self.number, "segments": len(earlier) + 1, **self.counts}
        return Trajectory(
            last.place, group, self.sample, last.tokens, last.loss_weights, last.rollout_logprobs, self.finish,
            self.answer, parts=parts, reasons=reasons, failures={PART: self.failure} if self.failure else {},
            earlier=tuple(earlier), turns=tuple(self.turns), counts=counts,
        )  # fmt: skip
