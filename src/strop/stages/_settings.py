"""What every kind of stage has that trains on data: its settings, without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from strop.chat.answers import Content
from strop.common.errors import InputError
from strop.data.keys import data_identity
from strop.data.settings import (
    DataField,
    DataSettings,
    EvalDataField,
    HeldOutSettings,
    MixtureSettings,
    as_mixture,
    with_rows,
)
from strop.model.settings import LoraSettings
from strop.stages._evals import check_in_training, check_tasks, task_inputs, task_paths, tasks_in_training
from strop.stages.base import Context, Examined, Stage
from strop.train.settings import TrainSettings, check_shards

if TYPE_CHECKING:
    from strop.config.recipe import Recipe


class TrainingStage(Stage):
    """A stage that trains the model on rows of data; what it leaves goes to ``model`` in its folder.

    A kind adds its ``kind``, its loss, and ``run`` by a `strop.stages._training.Training`.
    """

    data: DataField = Field(description="Parts of the mixture; or `parts` and how they are mixed.")
    eval_data: EvalDataField = Field(
        default_factory=list,
        description="Conversations for the evaluation loss; {fraction: 0.1} holds out a share of `data`.",
    )
    train: TrainSettings = Field(default_factory=TrainSettings, description="The training loop's settings.")
    lora: LoraSettings | None = Field(
        None, description="Train low-rank adapters, and merge them; by default all weights."
    )
    trains: ClassVar[bool] = True
    scores: ClassVar[bool] = False
    """Whether it trains a model that scores sequences, and not one that writes them."""
    if_stopped: ClassVar[str] = "steps since its newest checkpoint (if any) are done again by the same command"

    @field_validator("data")
    @classmethod
    def _some_part(cls, data: DataField) -> DataField:
        if not as_mixture(data).parts:
            raise ValueError("give at least one part.")
        return data

    @model_validator(mode="after")
    def _evaluation_has_data(self) -> TrainingStage:
        if self.train.eval_every is not None and not self.eval_data:
            raise ValueError("train.eval_every: there is no eval_data to evaluate on; give some, or drop it.")
        if self.train.tasks and self.scores:
            raise ValueError("train.tasks: a model of scores answers nothing; leave it out, and give eval_data.")
        return self

    @property
    def per_step(self) -> tuple[str, int] | None:
        return "train.global_batch_size", self.train.global_batch_size

    def check(self, recipe: Recipe) -> None:
        check_shards(recipe.compute.parallel, self.train, self.lora)
        check_in_training(self.train, recipe, has_loss=bool(self.eval_data))
        for part in self._parts():
            if part.stage is not None:
                _check_rows(part, self, recipe)

    def _parts(self) -> list[DataSettings]:
        return [*self.mixture.parts, *self.eval_mixture.parts]

    def reads(self) -> Iterator[str]:
        yield from dict.fromkeys(part.stage for part in self._parts() if part.stage is not None)

    def with_rows(self, rows: Callable[[str], Path]) -> TrainingStage:
        return self.model_copy(update={name: with_rows(getattr(self, name), rows) for name in ("data", "eval_data")})

    @property
    def content(self) -> Content:
        """What the rows of its data hold."""
        return "conversations"

    @property
    def mixture(self) -> MixtureSettings:
        return as_mixture(self.data)

    @property
    def eval_mixture(self) -> MixtureSettings:
        """What is given for it; without parts where a share of the training data is held out instead."""
        return as_mixture([] if isinstance(self.eval_data, HeldOutSettings) else self.eval_data)

    @property
    def held_out(self) -> HeldOutSettings | None:
        return self.eval_data if isinstance(self.eval_data, HeldOutSettings) else None

    def looked_at(self) -> Examined:
        """What the short examination before training looks at."""
        return Examined(self.mixture, self.eval_mixture, self.held_out, self.train, self.lora, self.content)

    def examined(self) -> Examined | None:
        return self.looked_at() if self.content in ("conversations", "pairs") else None

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        return {
            "data": [data_identity(part) for part in self.mixture.parts],
            "eval_data": [data_identity(part) for part in self.eval_mixture.parts],
            "tasks": task_inputs(tasks_in_training(self.train, recipe)),
        }

    def local_data(self, recipe: Recipe) -> Iterator[Path]:
        yield from (part.path for part in self._parts() if part.path is not None)
        yield from (path for _, path in task_paths(tasks_in_training(self.train, recipe)))

    def profiled(self) -> TrainingStage:
        return self.model_copy(update={"train": self.train.model_copy(update={"profile": True})})

    @property
    def resume(self) -> str | Path:
        return self.train.resume

    @property
    def seed(self) -> int:
        return self.train.seed

    def preflight(self, context: Context) -> None:
        from strop.model.lora import add_lora
        from strop.model.preflight import check_training, outline
        from strop.train.groups import check_groups

        at, device = f"stages.{context.name}", context.compute.device
        if self.train.offload_optimizer and device.type == "cpu":
            raise InputError(
                f"{at}.train.offload_optimizer: this run computes on {device}, so the optimiser's state is in the "
                "host's memory already; leave it out."
            )
        check_training(context.model, self.lora, context.recipe.chat.max_length, device, at, writes=not self.scores)
        if self.lora:
            add_lora(outline(context.model), self.lora)  # what peft itself refuses, on a model without weights
        elif self.train.groups and not self.scores:  # a reward model has a head of its own
            check_groups(outline(context.model), self.train, f"{at}.train")
        check_tasks(self.train, context)


def _check_rows(part: DataSettings, stage: TrainingStage, recipe: Recipe) -> None:
    """Raises ValueError where the part's stage is none before this one, or leaves no rows that this one can read."""
    earlier = list(recipe.stages)[: next(i for i, one in enumerate(recipe.stages.values()) if one is stage)]
    makers = {name: recipe.stages[name] for name in earlier if recipe.stages[name].leaves}
    if part.stage not in makers:
        known = ", ".join(makers) or "none does"
        raise ValueError(f"data: {part.stage!r} is no earlier stage that leaves rows ({known}); kind sample does.")
    holds = makers[part.stage].holds
    # Columns may make of rows what they are not; of a pair each answer is a labelled one.
    if not part.columns and holds != stage.content and (holds, stage.content) != ("pairs", "labelled"):
        raise ValueError(
            f"data: trains on {stage.content}, and stage {part.stage} leaves {holds}; set `as` there, or `columns` "
            "here."
        )
