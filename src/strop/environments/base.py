"""What a model plays with: what gives the first messages, reads each turn, and answers it. One file each.

A task alone is an environment of one step: its prompt, and nothing after the answer. One of the user's own is a class
in a file under ``plugins``, see ``docs/rl.md``.
"""

from __future__ import annotations

import difflib
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SerializeAsAny, WrapValidator

from strop.chat import ChatEncoder, Message, Part
from strop.common.registry import Registry
from strop.rewards.timed import TimedWorkers

PART = "environment"
"""What the environment's own reward is called among the parts of the reward."""


@dataclass(frozen=True)
class Start:
    """What an episode begins with: the prompt, and what stands beside it: the ground truth and the columns of a row, or
    a task's item's ``data``."""

    name: str
    messages: list[dict[str, Any]]
    truth: Any = None
    row: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None


@dataclass(frozen=True)
class Turn:
    """What the model wrote: ``message`` as the template's inverse reads it, and ``text`` as it stands, without the stop
    token. ``number``: from 1. ``malformed``: what is wrong with a tool call that cannot be read (it is then part of the
    content). ``paused``: the model was stopped where `Environment.pause` said so, and goes on writing."""

    message: Message
    text: str
    number: int
    malformed: str = ""
    paused: bool = False


@dataclass(frozen=True)
class Observation:
    """What comes back: ``messages`` that stand before the model's next turn, a ``reward`` that is added to the
    episode's, and whether the episode is ``done``.

    ``insert``: of a paused turn, what is written into it: (notation, text, notation). ``counts``: what is worth
    counting; its mean over all trajectories is logged as ``rollout/<name>``, so it has none of the names `TAKEN`.
    """

    messages: Sequence[Mapping[str, Any]] = ()
    reward: float | None = None
    done: bool = False
    insert: tuple[str, str, str] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


TAKEN = {
    "groups", "no_spread", "dropped", "refills", "length", "length_max", "stop_rate", "truncated", "entropy",
    "most_common_answer", "empty", "version_lag", "tokens_per_second", "pass_rate", "group_pass_rate", "mismatch",
    "mismatch_max", "kl_to_reference", "kl_coef", "kl_penalty", "value_explained", "advantage_mean", "advantage_std",
    "advantage_p10", "advantage_p50", "advantage_p90", "ahead_seconds", "ahead_reward_seconds", "turns", "segments",
    "out_of_turns",
}  # fmt: skip
"""Names of the batch's own numbers."""


def observation_fault(said: Any) -> str | None:
    """What is wrong with what a step gave, which may be anybody's code: the end of a sentence; None for nothing."""
    if not isinstance(said, Observation):
        return f"gave a {type(said).__name__} instead of an Observation"
    if said.reward is not None and not _is_finite(said.reward):
        return f"gave the reward {said.reward!r:.80}, which is no finite number"
    if not isinstance(said.messages, Sequence) or isinstance(said.messages, str):
        return f"gave {said.messages!r:.80} as messages, which is no list of them"
    for one in said.messages:
        if not isinstance(one, Mapping) or not isinstance(one.get("role"), str) or "content" not in one:
            return f"gave {one!r:.80}, which is no message with a role and content"
    insert = said.insert
    if insert is not None and not (isinstance(insert, tuple) and list(map(type, insert)) == [str] * 3):
        return "gave something to insert that is not three texts (notation, text, notation)"
    if not isinstance(said.counts, Mapping) or not all(isinstance(count, int) for count in said.counts.values()):
        return "gave counts that are no whole numbers by name"
    if taken := TAKEN.intersection(said.counts):
        return f"gave a count called {min(taken)}, as a number of every batch is; call it otherwise"
    return None


def _is_finite(number: Any) -> bool:
    try:
        return math.isfinite(number)
    except (TypeError, OverflowError):  # a word; a whole number that no float holds
        return False


class Environment(BaseModel):
    """Settings, and (in private attributes) the state of one episode: each trajectory has a copy of its own.

    ``reset`` begins an episode and must give the same messages for the same start, as a group of answers shares its
    prompt. ``step`` reads a turn that ended by itself; one that was cut off ends the episode. Where ``timed``, steps
    are anybody's code and run in worker processes, and the state that they leave is kept; one that raises or takes
    longer than ``seconds`` ends its trajectory without a reward, which is counted.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: str
    max_turns: int = Field(4, ge=1, description="Turns of the model in an episode; the last is what is graded.")
    seconds: float = Field(10.0, gt=0, description="Time that a step, or a call of a tool, may take.")
    workers: int = Field(2, ge=1, description="Processes for what is anybody's code, and steps at a time.")
    weight: float = Field(1.0, description="What the environment's own reward is multiplied by, where it gives any.")
    unrewarded: float = Field(
        0.0, description="Its reward of an episode that ended (cut off, say) before it gave one, where it gives any."
    )
    timed: ClassVar[bool] = True
    rewards: ClassVar[bool] = False
    """Whether it gives rewards, so that an answer may be graded by nothing else."""
    pauses: ClassVar[bool] = False
    """Whether it looks at turns while they are written; then they are not read by the template's inverse."""
    runs_programs: ClassVar[bool] = False
    _pool: TimedWorkers | None = PrivateAttr(None)

    def reset(self, start: Start) -> list[dict[str, Any]]:
        """The messages before the first turn: those of the prompt, unless the environment knows better."""
        return start.messages

    @abstractmethod
    def step(self, turn: Turn) -> Observation:
        """What becomes of a turn."""

    def pause(self, text: str) -> bool:
        """Whether a turn is to be stopped where its text has come to."""
        return False

    def may_pause(self, piece: str) -> bool:
        """Whether that can be after a token of this text: what is asked first, as a whole turn is slow to decode."""
        return True

    def parts(self, written: Sequence[tuple[str, bool]]) -> list[Part]:
        """A turn that results were put into, as the parts of a message: (text, whether the model wrote it), in order.
        What it did not write is ``python_output``, which nothing is learnt from."""
        return [Part("text" if own else "python_output", text) for text, own in written]

    def schemas(self) -> list[dict[str, Any]]:
        """JSON schemas of tools, for the template."""
        return []

    def check(self, encoder: ChatEncoder) -> None:
        """Raises InputError where it cannot go with this template."""

    def needs_sandbox(self) -> bool:
        """Whether programs of the model's are run: always (``runs_programs``), or by what the settings name."""
        return self.runs_programs

    def files(self) -> list[Path]:
        """What its answers depend on beside the settings."""
        return []

    def episode(self, start: Start) -> Environment:
        """A copy at the beginning of an episode."""
        made = self.model_copy()
        made.reset(start)
        return made


ENVIRONMENTS: Registry[type[Environment]] = Registry("environment", "strop.environments", Environment)
register = ENVIRONMENTS.register


def read_environment(value: Any) -> Any:
    """An environment of any kind that is registered by now, from its settings or the name of its kind."""
    if value is None or isinstance(value, Environment):
        return value
    given = {"kind": value} if isinstance(value, str) else value
    kind = given.get("kind") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in ENVIRONMENTS:
        near = difflib.get_close_matches(str(kind), ENVIRONMENTS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(ENVIRONMENTS)}."
        raise ValueError(f"{kind!r} is no kind of environment; {hint}")
    return ENVIRONMENTS[kind].model_validate(given)


EnvironmentField = Annotated[SerializeAsAny[Environment], WrapValidator(lambda value, _: read_environment(value))]
"""What ``environment`` may say in a recipe: a kind, or its settings."""


class Step(NamedTuple):
    """What a step leaves: the environment after it, and what it said."""

    environment: Environment
    observation: Observation
