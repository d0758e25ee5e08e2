"""One answer with all that training needs of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from strop.rollout.engine import Finish, Rollout

Ending = Finish | Literal["turns"]


class _OfTokens:
    """What segments and trajectories have in common: three values for every token."""

    place: str
    tokens: tuple[int, ...]
    loss_weights: tuple[float, ...]
    rollout_logprobs: tuple[float, ...]

    def __post_init__(self):
        if not len(self.tokens) == len(self.loss_weights) == len(self.rollout_logprobs):
            raise ValueError(
                f"{self.place}: {len(self.tokens)} tokens, {len(self.loss_weights)} weights and "
                f"{len(self.rollout_logprobs)} log-probabilities; one of each belongs to a token."
            )

    @property
    def prompt(self) -> tuple[int, ...]:
        """The tokens before the first one that was sampled."""
        return self.tokens[: self.loss_weights.index(1.0)]


@dataclass(frozen=True)
class Segment(_OfTokens):
    """A stretch of a trajectory that is one sequence of ids, as in `Trajectory`. It is a `Trainable`."""

    place: str
    tokens: tuple[int, ...]
    loss_weights: tuple[float, ...]
    rollout_logprobs: tuple[float, ...]


@dataclass(frozen=True)
class ShownTurn:
    """A turn for people. Of the model's: its ``ids``, which of them were ``sampled`` (the others were put in by the
    environment), the tool ``calls`` that were read in it, and what is ``malformed`` in it."""

    role: str
    text: str
    ids: tuple[int, ...] = ()
    sampled: tuple[bool, ...] = ()
    calls: tuple[dict[str, Any], ...] = ()
    malformed: str = ""
    name: str = ""


@dataclass(frozen=True)
class Trajectory(_OfTokens):
    """One answer with all that training needs of it. Ids as sampled: never decoded and tokenised again.

    ``tokens``: the prompt's and the answer's, the sampled stop token among them; ``loss_weights``: 1 for each token
    that was sampled, else 0 (what an environment said); ``rollout_logprobs``: the sampler's, 0 where nothing was
    sampled; all three of one length. Where the template rewrites earlier turns they are of the last segment, and
    ``earlier`` has those before it.

    ``group``: which prompt of the batch. ``text``: the last turn's, which is graded. ``reward``: None where a part of
    it failed; ``parts``: scores by name, before their weights; ``reasons`` and ``failures``: words by the part's name.
    ``version``: of the weights that sampled all of its tokens, the number of batches whose updates they had.
    ``turns`` and ``counts`` (turns, segments, tool calls …) are there where an environment took part. ``said``: what
    followed the prompt, as messages of a row, where rows are made of it.
    """

    place: str
    group: int
    sample: int
    tokens: tuple[int, ...]
    loss_weights: tuple[float, ...]
    rollout_logprobs: tuple[float, ...]
    finish_reason: Ending
    text: str
    reward: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    version: int = 0
    earlier: tuple[Segment, ...] = ()
    turns: tuple[ShownTurn, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    said: tuple[dict[str, Any], ...] = ()

    @property
    def segments(self) -> tuple[Segment | Trajectory, ...]:
        """In order of time, the trajectory itself as the last."""
        return *self.earlier, self

    @property
    def length(self) -> int:
        """Sampled tokens."""
        return sum(weight > 0 for one in self.segments for weight in one.loss_weights)

    def state_dict(self) -> dict[str, Any]:
        """In plain values, as a checkpoint holds it; ``Trajectory.of_state`` gives it back."""
        own = {name: [dict(vars(part)) for part in getattr(self, name)] for name in ("earlier", "turns")}
        return vars(self) | own

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Trajectory:
        """Also of what JSON makes of it."""
        earlier = tuple(Segment(**part) for part in state["earlier"])
        turns = tuple(ShownTurn(**turn) for turn in state["turns"])
        return cls(**state | {"earlier": earlier, "turns": turns, "said": tuple(state.get("said", ()))})

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


def shown(one: Trajectory, decode: Callable[[Sequence[int]], str], advantages: Sequence[float]) -> dict[str, Any]:
    """For people and JSON: ``tokens`` are the model's as text, each with its advantage (None: an environment's).

    ``turns``, where an environment took part: role and text of each; of the model's instead how many of the ``tokens``
    they are, with the calls that were read in them and what is malformed.
    """
    given = iter(advantages)
    if one.turns:
        ids = [(token, own) for turn in one.turns for token, own in zip(turn.ids, turn.sampled, strict=True)]
    else:
        ids = [(token, True) for token in one.tokens[len(one.tokens) - one.length :]]
    return {
        "answer": one.text,
        "reward": one.reward,
        "parts": one.parts,
        "reasons": {name: why for name, why in one.reasons.items() if why},
        **({"failures": one.failures} if one.failures else {}),
        "finish_reason": one.finish_reason,
        "version": one.version,
        "tokens": [[decode([token]), round(next(given), 6) if own else None] for token, own in ids],
        **({"turns": [_shown_turn(turn) for turn in one.turns], "counts": one.counts} if one.turns else {}),
    }


def _shown_turn(turn: ShownTurn) -> dict[str, Any]:
    if not turn.ids:
        return {"role": turn.role, "text": turn.text, **({"name": turn.name} if turn.name else {})}
    calls = [call.get("function", call) for call in turn.calls]
    return {
        "role": turn.role,
        "tokens": len(turn.ids),
        **({"calls": calls} if calls else {}),
        **({"malformed": turn.malformed} if turn.malformed else {}),
    }
