"""What kinds of stage share that ask prompts and grade the answers: where prompts come from, and rewards. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from strop.common.errors import InputError
from strop.common.files import folder_stamp
from strop.data.keys import data_identity, files_digest
from strop.data.settings import DataSettings
from strop.environments.base import PART, EnvironmentField
from strop.rewards.kinds import AnyReward, FunctionReward, ModelReward
from strop.rollout.settings import GradingSettings, PromptField, PromptSettings
from strop.stages.base import Stage

if TYPE_CHECKING:
    from strop.config.recipe import Recipe


class GradedStage(Stage):
    """A stage whose prompts are answered by the model, and whose answers are graded."""

    data: PromptField = Field(description="Where prompts come from: tasks, or files with ground truth.")
    rewards: dict[str, AnyReward] = Field(
        {"task": {"kind": "task"}, "exact": {"kind": "exact"}},
        validate_default=True,
        description="Parts of the reward by name; by default the task's grade, or equality with the ground truth.",
    )
    grading: GradingSettings = Field(default_factory=GradingSettings, description="How rewards are computed.")
    environment: EnvironmentField | None = Field(
        None, description="What answers between the model's turns: tools, inline, or a kind of a plug-in."
    )

    @field_validator("rewards")
    @classmethod
    def _some_reward(cls, rewards: dict[str, AnyReward]) -> dict[str, AnyReward]:
        if not rewards:
            raise ValueError("give at least one reward.")
        return rewards

    @model_validator(mode="after")
    def _named_apart(self) -> GradedStage:
        if self.environment and PART in self.rewards:
            raise ValueError(f"rewards.{PART} is what the environment's own reward is called; give it another name.")
        if self.environment and not self.environment.rewards:
            for name in ("weight", "unrewarded"):
                if getattr(self.environment, name) != type(self.environment).model_fields[name].default:
                    raise ValueError(
                        f"environment.{name} would not be read: the environment {self.environment.kind} gives no "
                        f"rewards of its own (a class that does says rewards = True); leave {name} out."
                    )
        return self

    @property
    def own_weights(self) -> dict[str, float]:
        """The weight of the environment's reward."""
        return {PART: self.environment.weight} if self.environment else {}

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        functions = {name: reward for name, reward in self.rewards.items() if isinstance(reward, FunctionReward)}
        files = {name: reward.file for name, reward in functions.items() if reward.file}
        engine = recipe.rollout.arithmetic
        own = [path for path in (self.environment.files() if self.environment else ()) if path.is_file()]
        return {
            **({} if engine == "torch" else {"engine": engine}),
            "data": [_identity(part) for part in self.data.parts],
            "reward_files": {name: files_digest([path]) for name, path in files.items() if path.is_file()},
            **({"reward_models": models} if (models := dict(self._models())) else {}),
            **({"environment_files": files_digest(own)} if own else {}),
        }

    def check(self, recipe: Recipe) -> None:
        earlier = list(recipe.stages)[: next(i for i, one in enumerate(recipe.stages.values()) if one is self)]
        makers = [name for name in earlier if getattr(recipe.stages[name], "scores", False)]
        for name, reward in self._asked():
            if reward.stage is not None and reward.stage not in makers:
                known = ", ".join(makers) or "there is none"
                raise ValueError(
                    f"rewards.{name}.stage: {reward.stage!r} is no earlier stage that trains a model of scores "
                    f"({known}); kind reward_model does."
                )

    def reads(self) -> Iterator[str]:
        yield from dict.fromkeys(reward.stage for _, reward in self._asked() if reward.stage is not None)

    def with_models(self, model_of: Callable[[str], Path]) -> GradedStage:
        trained = {
            name: reward.model_copy(update={"path": str(model_of(reward.stage)), "stage": None})
            for name, reward in self._asked()
            if reward.stage is not None
        }
        return self.model_copy(update={"rewards": {**self.rewards, **trained}}) if trained else self

    def _asked(self) -> Iterator[tuple[str, ModelReward]]:
        """Rewards that a model gives."""
        yield from ((name, reward) for name, reward in self.rewards.items() if isinstance(reward, ModelReward))

    def _models(self) -> Iterator[tuple[str, str]]:
        """What is in the folders of reward models, by the reward's name. Raises InputError where one is not there."""
        from strop.model.names import resolve

        for name, reward in self._asked():
            if reward.path is not None:
                try:
                    yield name, folder_stamp(resolve(reward.path))
                except InputError as error:
                    raise InputError(f"rewards.{name}.path: {error}") from error

    def local_data(self, recipe: Recipe) -> Iterator[Path]:
        yield from (part.path for part in self.data.parts if part.path is not None)


def _identity(part: PromptSettings) -> dict[str, Any]:
    """What a part's rows are: of a file its content, of the hub its commit."""
    given = part.model_dump(include={"task", "path", "hub", "split", "subset", "revision", "count", "seed"})
    return data_identity(DataSettings(**given))
