"""What an answer can be rewarded for: one settings class a kind, each with one function from answers to scores.

A kind that reads something that a prompt does not have (the truth of ``exact``, the grader of ``task``) is no part of
the reward of that prompt's answers. Works without torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from strop.common.calls import refuses
from strop.common.errors import USERS, InputError, raised
from strop.common.given import SUFFIX, read_given
from strop.rewards.code import Score
from strop.rewards.forms import (
    CompilesReward,
    LanguageReward,
    LengthReward,
    RegexReward,
    RepetitionReward,
    StopReward,
    ThinkReward,
)
from strop.rewards.numbers import flexible_number
from strop.rewards.reasoning import without_reasoning
from strop.rewards.reward import Reward, Sample, as_score, checked_pattern
from strop.rewards.timed import Failed


class TaskReward(Reward):
    """The grade of the task that the prompt is an item of (`strop.rollout.grading` asks it)."""

    kind: Literal["task"]
    by: Literal["accepted", "pass_ratio"] = Field(
        "accepted", description="accepted: 1 for a whole success, else 0; pass_ratio: the share of tests passed."
    )


class ExactReward(Reward):
    """1 where the answer is the ground truth, else 0; white space at both ends and reasoning do not count."""

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
        return extract and checked_pattern(extract)

    def truth_fault(self, truth: Any) -> str | None:
        if self.as_number and self._of_truth(str(truth)) is None:
            return f"holds no number ({truth!r:.60}), which as_number compares"
        return None

    def one(self, sample: Sample) -> Score:
        given, wanted = self._of(without_reasoning(sample.whole)), self._of_truth(str(sample.truth))
        if wanted is None:
            raise ValueError(f"the ground truth {self.truth_fault(sample.truth)}")
        if given is None:
            return Score(0.0, reason="nothing in the answer to compare")
        right = given == wanted
        return Score(float(right), reason="" if right else f"{given!s:.80} is not {wanted!s:.80}")

    def _of(self, text: str) -> str | Decimal | None:
        """What is compared of an answer; None where there is nothing of the kind."""
        if self.extract:
            found = list(re.finditer(self.extract, text))
            if not found:
                return None
            text = found[-1][1 if found[-1].re.groups else 0] or ""
        return self._compared(text)

    def _of_truth(self, text: str) -> str | Decimal | None:
        """Of a truth the same; where ``extract`` finds nothing in it, it is what is to be extracted."""
        found = self._of(text)
        return self._compared(text) if found is None else found

    def _compared(self, text: str) -> str | Decimal | None:
        if self.as_number:
            return flexible_number(text)
        text = text.strip()
        return text.lower() if self.ignore_case else text


class MathReward(Reward):
    """1 where the answer's last result equals the ground truth as mathematics, by math-verify (`1/2` is `0.5`), else 0
    (`strop.rollout.grading` asks for all answers at once: what takes too long is ended with its process)."""

    kind: Literal["math"]
    needs_truth: ClassVar[bool] = True


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
        given = load_function(self.function, "samples")(list(samples))
        if not isinstance(given, list | tuple):
            raise TypeError(f"gave a {type(given).__name__} instead of a list of scores")
        if len(given) != len(samples):
            raise ValueError(f"gave {len(given)} scores for {len(samples)} answers")
        return [as_score(one) for one in given]


AnyReward = Annotated[
    TaskReward
    | ExactReward
    | MathReward
    | RegexReward
    | StopReward
    | ThinkReward
    | LengthReward
    | RepetitionReward
    | CompilesReward
    | LanguageReward
    | ModelReward
    | FunctionReward,
    Field(discriminator="kind"),
]
"""A part of the reward in a recipe."""


def load_function(name: str, *arguments: str) -> Any:
    """The function of ``module:function``, ``file.py:function``, or of a file that `write_given` wrote.

    Raises InputError where there is none, and where one cannot be called with ``arguments`` (their names, where given).
    """
    found = _function(name)
    if arguments and (why := refuses(found, *arguments)) is not None:
        raise InputError(f"{name}: {why}; let it take these.")
    return found


@cache
def _function(name: str) -> Any:
    place, _, function = name.rpartition(":")
    if place.endswith(SUFFIX):
        return read_given(Path(place))
    try:
        if place.endswith(".py"):
            if not Path(place).is_file():
                raise InputError(f"{name}: there is no file {place}; correct the path.")
            spec = importlib.util.spec_from_file_location(f"{USERS[1]}{Path(place).stem}", place)
            assert spec is not None  # a name that ends in .py has a loader
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the file raises is its own, and is to be read with its name
        raise InputError(f"{name}: cannot be imported ({raised(error)}); correct it.") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise InputError(f"{name}: {place} has no function {function}; correct the name.")
    return found
