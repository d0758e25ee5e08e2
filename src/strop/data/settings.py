"""Settings of where the data of a stage comes from and how it is mixed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, WrapValidator, field_validator, model_validator

from strop.chat.columns import check_columns, implied_format
from strop.chat.formats import Format
from strop.data.slices import names_of, parse_split

TASK = "task:"
"""What the name of a named set begins with, where a path could stand too."""
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ReadSettings(_Settings):
    """How the rows of a file, folder or data set on the hub are read."""

    format: Format = Field(
        "auto",
        description="The shape of its rows; auto goes by the columns, row by row, "
        "and auto_text, the default of pretraining, takes a row of text alone for a text.",
    )
    split: str = Field(
        "train",
        description="Which split, or which slice of one, as `datasets` writes them: train[:100], train[10%:], "
        "train[:10%]+train[90%:].",
    )
    revision: str | None = Field(None, description="Commit, tag or branch on the hub.")
    subset: str | None = Field(None, description="The configuration on the hub, or the folder in a folder.")
    columns: dict[str, str] = Field(
        {},
        description="Columns under the names that the formats know, e.g. {prompt: text, completion: code}; a dot goes "
        "inside: {answer: reward_model.ground_truth}.",
    )
    documents: Literal["file", "paragraph", "line"] = Field(
        "file", description="What one document of a .txt file is: all of it, a block between blank lines, or a line."
    )

    @field_validator("split")
    @classmethod
    def _known_slices(cls, split: str) -> str:
        parse_split(split)
        return split

    @field_validator("columns")
    @classmethod
    def _known_targets(cls, columns: dict[str, str]) -> dict[str, str]:
        check_columns(columns)
        return columns

    @model_validator(mode="after")
    def _format_of_columns(self) -> ReadSettings:
        if self.format == "auto" and (implied := implied_format(self.columns)) != "auto":
            self.format = implied
        return self


class DataSettings(ReadSettings):
    """One part of a mixture: a file or folder, a data set on the hub, what a named set offers for training, or the rows
    that an earlier stage of the recipe leaves."""

    path: Path | None = Field(None, description="A file or folder: .jsonl, .json, .parquet, .csv, .arrow …")
    hub: str | None = Field(None, description="A data set on the Hugging Face hub, e.g. openai/gsm8k.")
    task: str | None = Field(
        None, description="A named set, e.g. code_basics or general_chat; beside a path, what that file holds: gsm8k."
    )
    stage: str | None = Field(None, description="An earlier stage of the recipe that leaves rows (kind sample).")
    count: int | None = Field(None, ge=1, description="How many rows: the first of a file, or generated.")
    seed: int = Field(0, ge=0, description="Seed of a generated set.")
    weight: float = Field(1.0, gt=0, description="Share of the examples under mix: weights, relative to the others'.")
    epochs: float = Field(
        1.0,
        gt=0,
        description="How often it is taken within one epoch under mix: concatenate; 2.5 is twice and another half, "
        "the next epoch beginning with the other half.",
    )
    name: str | None = Field(None, description="What messages call it; otherwise its path, hub id or task.")

    @model_validator(mode="after")
    def _one_origin(self) -> DataSettings:
        check_one_origin(self.path, self.hub, self.task, self.stage)
        # What is not the default, and not what was set: a run's own config.yaml sets everything.
        if self.hub is None and self.revision is not None:
            raise ValueError("`revision` is of a data set on the hub; drop it or give `hub`.")
        if self.task is not None and (self.subset is not None or self.columns):
            raise ValueError("a named set has neither `subset` nor `columns`; drop them.")
        if self.task is None and self.seed:
            raise ValueError(
                "`seed` is of a set that is generated (`task`); rows are shuffled by the stage's own seed."
            )
        if self.task is not None and names_of(self.split) != ("train",):
            raise ValueError(f"a named set has no split {self.split}, but train alone (train[:100] is a part of it).")
        return self

    @property
    def title(self) -> str:
        return self.name or (f"stage {self.stage}" if self.stage else str(self.path or self.hub or self.task))

    def with_rows(self, rows: Callable[[str], Path]) -> DataSettings:
        """The same as the file ``rows(stage)``, where it is what a stage leaves."""
        return self if self.stage is None else self.model_copy(update={"path": rows(self.stage), "stage": None})


def check_one_origin(path: Path | None, hub: str | None, task: str | None, stage: str | None) -> None:
    """Raise ValueError unless one place is named that rows come from; a task may say what a file holds."""
    if sum((path is not None or task is not None, hub is not None, stage is not None)) != 1:
        raise ValueError(
            "give either `path` (a file or folder), `hub` (a data set there), `task` (a named set; with a `path` the "
            "file that it is read from) or `stage` (an earlier one)."
        )


class SystemPromptSettings(_Settings):
    """System prompts given at random to conversations that have none."""

    ratio: float = Field(ge=0, le=1, description="How likely such a conversation gets one, each time it comes.")
    prompts: list[str] = Field(min_length=1, description="What it is drawn from, all equally likely.")

    @field_validator("prompts")
    @classmethod
    def _texts(cls, prompts: list[str]) -> list[str]:
        if not all(prompt.strip() for prompt in prompts):
            raise ValueError("a prompt is empty; lower `ratio` to leave more conversations without one.")
        return prompts


class MixtureSettings(_Settings):
    """Parts and how an epoch is made of them.

    Under ``mix: concatenate`` an epoch holds every part as often as its ``epochs`` says, all shuffled together. Under
    ``mix: weights`` an epoch holds ``total`` examples, shared out by the parts' ``weight``; each part is walked
    through in an order of its own, and on from there in the next epoch, so that none of its examples comes again
    before all of them came.
    """

    parts: list[DataSettings] = Field(min_length=1, description="The parts, in any order; they are shuffled together.")
    mix: Literal["concatenate", "weights"] = Field(
        "concatenate", description="Whether an epoch is every part in full, or examples by the parts' weights."
    )
    total: int | None = Field(
        None, ge=1, description="Examples in an epoch under mix: weights; as many as the parts have, by default."
    )
    system_prompts: SystemPromptSettings | None = Field(None, description="System prompts for those without one.")
    on_bad_row: Literal["error", "skip"] = Field(
        "error", description="Whether a row that cannot be read, or whose mask cannot be proven, stops the run."
    )
    workers: int = Field(
        0, ge=0, description="Processes that prepare the data, from about two thousand rows on; 0: this one alone."
    )

    @model_validator(mode="after")
    def _meant_for_the_mix(self) -> MixtureSettings:
        check_mix(self.mix, self.parts, self.total)
        return self


def check_mix(mix: Literal["concatenate", "weights"], parts: Sequence[Any], total: int | None) -> None:
    """Raise ValueError for a setting of a mixture, or of one of its ``parts``, that counts only under the other mix."""
    other, unused = ("weights", "weight") if mix == "concatenate" else ("concatenate", "epochs")
    for number, part in enumerate(parts):
        if getattr(part, unused) != 1:
            raise ValueError(f"parts.{number}.{unused} counts only under mix: {other}; set that, or drop it.")
    if mix == "concatenate" and total is not None:
        raise ValueError("`total` counts only under mix: weights; set that, or drop it.")


def part_of(text: str) -> dict[str, Any]:
    """What a part is whose settings are its name alone: ``task:NAME``, a hub id, or a path."""
    if text.startswith(TASK):
        return {"task": text.removeprefix(TASK)}
    if _HUB_ID.fullmatch(text) and not Path(text).exists() and not Path(text).suffix:
        return {"hub": text}
    return {"path": Path(text).expanduser()}


class HeldOutSettings(_Settings):
    """A share of the training rows that is measured on and never trained on."""

    fraction: float = Field(gt=0, lt=1, description="Share of the different rows of every part of the training data.")
    seed: int = Field(0, ge=0, description="Which rows: the same for the same seed and rows, in any order.")


_PARTS = TypeAdapter(list[DataSettings])


def _by_shape(value: Any, handler: Any) -> Any:
    """One branch of the union by what was written, so that errors are about that one and name its place."""
    if isinstance(value, str):
        value = [part_of(value)]
    elif isinstance(value, dict) and "parts" not in value and value.keys() & {"path", "hub", "task", "stage"}:
        return [DataSettings.model_validate(value)]
    if isinstance(value, list):
        value = [part_of(part) if isinstance(part, str) else part for part in value]
        parts = _PARTS.validate_python(value)
        as_mixture(parts)  # refuses what lists cannot mean
        return parts
    if isinstance(value, dict):
        strays = [key for key in DataSettings.model_fields if key in value and key not in MixtureSettings.model_fields]
        if strays:
            raise ValueError(
                f"{strays[0]}: is said of a part, not of the mixture; write parts.0.{strays[0]} (0 is the first)."
            )
    return MixtureSettings.model_validate(value)


def with_rows(value: Any, rows: Callable[[str], Path]) -> Any:
    """What ``data`` or ``eval_data`` says, with files in the place of stages; see `DataSettings.with_rows`."""
    if isinstance(value, HeldOutSettings):
        return value
    if isinstance(value, list):
        return [part.with_rows(rows) for part in value]
    return value.model_copy(update={"parts": [part.with_rows(rows) for part in value.parts]})


DataField = Annotated[list[DataSettings] | MixtureSettings, WrapValidator(_by_shape)]
"""What ``data`` may say: a list of parts, or the parts and how they are mixed."""


def _held_out_or_data(value: Any, handler: Any) -> Any:
    if isinstance(value, HeldOutSettings) or (isinstance(value, dict) and "fraction" in value):
        return HeldOutSettings.model_validate(value)
    return _by_shape(value, handler)


EvalDataField = Annotated[list[DataSettings] | MixtureSettings | HeldOutSettings, WrapValidator(_held_out_or_data)]
"""What ``eval_data`` may say: data of its own, or a share of the training data."""


def as_mixture(data: list[DataSettings] | MixtureSettings) -> MixtureSettings:
    """Both ways of saying it as one. A list may be empty, where there need not be data."""
    if isinstance(data, MixtureSettings):
        return data
    return MixtureSettings(parts=data) if data else MixtureSettings.model_construct(parts=[])


def with_texts(value: Any) -> Any:
    """What ``data`` or ``eval_data`` says, with rows of text alone for texts where no format is given."""
    parts = [] if isinstance(value, HeldOutSettings) else value if isinstance(value, list) else value.parts
    for part in parts:
        part.format = "auto_text" if part.format == "auto" else part.format
    return value


def always_said(mixture: MixtureSettings) -> str | None:
    """The instructions that every conversation without its own is given; None where there are none or several."""
    prompts = mixture.system_prompts
    if prompts is None or prompts.ratio < 1 or len(set(prompts.prompts)) != 1:
        return None
    return prompts.prompts[0]
