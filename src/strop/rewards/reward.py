"""What a reward is: an answer in, a score out. The kinds of a recipe are in `kinds`. Works without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from strop.rewards.code import Score
from strop.rewards.timed import Failed


@dataclass(frozen=True)
class Sample:
    """One answer as a reward sees it.

    ``messages``: its prompt. ``answer``: its text, without the stop token. ``truth``: the ground truth of a row, None
    where a task grades. ``tokens``: its length, the stop token included. ``finish_reason``: ``stop``, ``length`` (cut
    off), or where an environment took part also ``turns`` (it had no turn left) and ``cancelled``. ``row``: all columns
    of the row that the prompt came from. ``opened``: the mark with which the prompt's end began reasoning
    (``<think>``), so that the answer begins within it.
    """

    name: str
    messages: list[dict[str, Any]]
    answer: str
    truth: Any = None
    tokens: int = 0
    finish_reason: str = "stop"
    row: Mapping[str, Any] = field(default_factory=dict)
    opened: str = ""

    @property
    def whole(self) -> str:
        """The answer, after the mark that its prompt ended with."""
        return f"{self.opened}\n{self.answer}" if self.opened else self.answer


class Reward(BaseModel):
    """One part of the reward: ``weight`` times its score is added."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: str
    weight: float = Field(1.0, description="What its score is multiplied by; a negative one punishes.")
    needs_truth: ClassVar[bool] = False
    timed: ClassVar[bool] = False
    """Whether it is run in a worker process with a time limit, since nobody knows how long it takes."""

    def score(self, samples: Sequence[Sample]) -> list[Score | Failed]:
        """The scores of the answers to one prompt."""
        return [self.one(sample) for sample in samples]

    def one(self, sample: Sample) -> Score:
        """The score of one answer, of kinds that neither have a `score` of their own nor are asked by the grader."""
        raise NotImplementedError

    def truth_fault(self, truth: Any) -> str | None:
        """Why answers cannot be compared with this ground truth, as the end of a sentence; None where they can."""
        return None


def as_score(value: Any) -> Score | Failed:
    """A number or a Score as one; what is no finite number has failed."""
    number = value.value if isinstance(value, Score) else value
    try:
        number = float(number)
    except (TypeError, ValueError, OverflowError):
        return Failed(f"gave {value!r:.80}, which is no number")
    if not math.isfinite(number):
        return Failed(f"gave {number}")
    return Score(number, reason=value.reason) if isinstance(value, Score) else Score(number)


def checked_pattern(pattern: str) -> str:
    """The pattern. Raises ValueError for what is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression ({error}); correct it.") from None
    return pattern
