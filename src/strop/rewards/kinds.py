"""What an answer can be rewarded for: one settings class a kind, each with one function from answers to scores.

A kind that reads something that a prompt does not have (the truth of ``exact``, the grader of ``task``) is no part of
the reward of that prompt's answers. Works without torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from strop.common.errors import InputError
from strop.common.given import SUFFIX, read_given
from strop.rewards.code import Score
from strop.rewards.timed import Failed

_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
_THOUGHT = re.compile(r"\s*<think>(?P<thought>.*?)</think>(?P<answer>.*)", re.DOTALL)


@dataclass(frozen=True)
class Sample:
    """One answer as a reward sees it.

    ``messages``: its prompt. ``answer``: its text, without the stop token. ``truth``: the ground truth of a row, None
    where a task grades. ``tokens``: its length, the stop token included. ``finish_reason``: ``stop`` or ``length``.
    ``row``: all columns of the row that the prompt came from.
    """

    name: str
    messages: list[dict[str, Any]]
    answer: str
    truth: Any = None
    tokens: int = 0
    finish_reason: str = "stop"
    row: Mapping[str, Any] = field(default_factory=dict)


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
        raise NotImplementedError


class TaskReward(Reward):
    """The grade of the task that the prompt is an item of (`strop.rollout.grading` asks it)."""

    kind: Literal["task"]
    by: Literal["accepted", "pass_ratio"] = Field(
        "accepted", description="accepted: 1 for a whole success, else 0; pass_ratio: the share of tests passed."
    )


class ExactReward(Reward):
    """1 where the answer is the ground truth, else 0; white space at both ends does not count."""

    kind: Literal["exact"]
    extract: str | None = Field(
        None, description="A regular expression: its last match (its first group, if it has one) is compared."
    )
    as_number: bool = Field(False, description="Compare numbers: 1,200.0 is 1200. Without extract, the last number.")
    ignore_case: bool = Field(False, description="Whether capitals count.")
    needs_truth: ClassVar[bool] = True
    timed: ClassVar[bool] = True

    @field_validator("extract")
    @classmethod
    def _is_a_pattern(cls, extract: str | None) -> str | None:
        return extract and _checked(extract)

    def one(self, sample: Sample) -> Score:
        given, wanted = self._of(sample.answer), self._of(str(sample.truth)) or str(sample.truth).strip()
        if given is None:
            return Score(0.0, reason="nothing in the answer to compare")
        right = given == wanted
        return Score(float(right), reason="" if right else f"{given!r:.80} is not {wanted!r:.80}")

    def _of(self, text: str) -> str | float | None:
        """What is compared of a text; None where there is nothing of the kind."""
        if self.extract:
            found = list(re.finditer(self.extract, text))
            if not found:
                return None
            text = found[-1][1 if found[-1].re.groups else 0] or ""
        if self.as_number:
            numbers = _NUMBER.findall(text)
            return float(numbers[-1].replace(",", "")) if numbers else None
        text = text.strip()
        return text.lower() if self.ignore_case else text


class RegexReward(Reward):
    """1 where the pattern is found in the answer, or is the whole of it, else 0: the form of an answer."""

    kind: Literal["regex"]
    pattern: str = Field(description="A Python regular expression; a dot is any character, also the end of a line.")
    whole: bool = Field(False, description="Whether the pattern must match the whole answer.")
    timed: ClassVar[bool] = True

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str) -> str:
        return _checked(pattern)

    def one(self, sample: Sample) -> Score:
        search = re.fullmatch if self.whole else re.search
        found = search(self.pattern, sample.answer.strip() if self.whole else sample.answer, re.DOTALL)
        return Score(float(found is not None), reason="" if found else "does not match")


class StopReward(Reward):
    """1 where the answer ended by itself, 0 where it was cut off."""

    kind: Literal["stop"]

    def one(self, sample: Sample) -> Score:
        ended = sample.finish_reason == "stop"
        return Score(float(ended), reason="" if ended else "was cut off")


class ThinkReward(Reward):
    """1 where the answer is ``<think>…</think>`` once, with text inside and after it, else 0."""

    kind: Literal["think"]

    def one(self, sample: Sample) -> Score:
        match = _THOUGHT.fullmatch(sample.answer)
        marks = sample.answer.count("<think>") + sample.answer.count("</think>")
        if match is None or marks != 2:
            return Score(0.0, reason="is not one <think>…</think> and then an answer")
        empty = next((name for name in ("thought", "answer") if not match[name].strip()), None)
        return Score(float(empty is None), reason=f"the {empty} is empty" if empty else "")


class LengthReward(Reward):
    """0 up to ``most - slack`` tokens, falling to -1 at ``most`` and from there on: soft overlong punishment (Yu et al.
    2025, DAPO, arXiv:2503.14476, equation 13)."""

    kind: Literal["length"]
    most: int = Field(ge=1, description="Tokens from which on the score is -1.")
    slack: int = Field(ge=1, description="Tokens over which it falls from 0.")

    def one(self, sample: Sample) -> Score:
        over = sample.tokens - (self.most - self.slack)
        return Score(-min(1.0, max(0.0, over / self.slack)), reason=f"{sample.tokens} tokens" if over > 0 else "")


class RepetitionReward(Reward):
    """Minus the share of n-grams of words that stood in the answer before: 0 where nothing is repeated (Yeo et al.
    2025, Demystifying Long Chain-of-Thought Reasoning, arXiv:2502.03373, count them alike)."""

    kind: Literal["repetition"]
    n: int = Field(4, ge=1, description="Words in an n-gram.")

    def one(self, sample: Sample) -> Score:
        words = sample.answer.split()
        grams = list(zip(*(words[i:] for i in range(self.n)), strict=False))
        repeated = 1 - len(set(grams)) / len(grams) if grams else 0.0
        return Score(-repeated, reason=f"{repeated:.0%} of {self.n}-grams are repeated" if repeated else "")


class ModelReward(Reward):
    """The score of a reward model: of the prompt and the answer as text, in that model's own template and tokens
    (`strop.rollout.grading` asks it, about all answers at once)."""

    kind: Literal["model"]
    path: str | None = Field(None, description="Folder, run folder or hub id of a reward model (strop rm).")
    stage: str | None = Field(None, description="Or: the earlier stage of the recipe that trains it.")

    @model_validator(mode="after")
    def _one_origin(self) -> ModelReward:
        if (self.path is None) == (self.stage is None):
            raise ValueError("give either path (a reward model) or stage (an earlier one that trains it).")
        return self


class FunctionReward(Reward):
    """Whatever a Python function says of the answers to one prompt: a list of `Sample` in, as many scores out."""

    kind: Literal["function"]
    function: str = Field(description="module:function, or file.py:function.")
    timed: ClassVar[bool] = True

    @field_validator("function")
    @classmethod
    def _has_both(cls, function: str) -> str:
        if not all(function.rpartition(":")):
            raise ValueError(f"{function!r} names no function; write module:function or file.py:function.")
        return function

    @property
    def file(self) -> Path | None:
        """The file that the function is in; None where a module was named."""
        place = Path(self.function.rpartition(":")[0])
        return place if place.suffix in (".py", SUFFIX) else None

    def score(self, samples: Sequence[Sample]) -> list[Score | Failed]:
        """Raises TypeError or ValueError where the function does not give a list of as many numbers or Scores."""
        given = load_function(self.function)(list(samples))
        if not isinstance(given, list | tuple):
            raise TypeError(f"gave a {type(given).__name__} instead of a list of scores")
        if len(given) != len(samples):
            raise ValueError(f"gave {len(given)} scores for {len(samples)} answers")
        return [as_score(one) for one in given]


AnyReward = Annotated[
    TaskReward
    | ExactReward
    | RegexReward
    | StopReward
    | ThinkReward
    | LengthReward
    | RepetitionReward
    | ModelReward
    | FunctionReward,
    Field(discriminator="kind"),
]
"""A part of the reward in a recipe."""


@cache
def load_function(name: str) -> Any:
    """The function of ``module:function``, ``file.py:function``, or of a file that `write_given` wrote.

    Raises InputError where there is none.
    """
    place, _, function = name.rpartition(":")
    if place.endswith(SUFFIX):
        return read_given(Path(place))
    try:
        if place.endswith(".py"):
            if not Path(place).is_file():
                raise InputError(f"{name}: there is no file {place}; correct the path.")
            spec = importlib.util.spec_from_file_location(f"strop_reward_{Path(place).stem}", place)
            assert spec is not None  # a name that ends in .py has a loader
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except InputError:
        raise
    except Exception as error:  # whatever the file raises is its own, and is to be read with its name
        raise InputError(f"{name}: cannot be imported ({type(error).__name__}: {error}); correct it.") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise InputError(f"{name}: {place} has no function {function}; correct the name.")
    return found


def as_score(value: Any) -> Score | Failed:
    """A number or a Score as one; what is no finite number has failed."""
    number = value.value if isinstance(value, Score) else value
    try:
        number = float(number)
    except (TypeError, ValueError):
        return Failed(f"gave {value!r:.80}, which is no number")
    if not math.isfinite(number):
        return Failed(f"gave {number}")
    return Score(number, reason=value.reason) if isinstance(value, Score) else Score(number)


def _checked(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression ({error}); correct it.") from None
    return pattern
