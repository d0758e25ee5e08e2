"""`strop doctor`: what a recipe or a data file names, brought to the doctor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from strop.chat import ChatSettings
from strop.common.console import heading, make_console, speaking_on
from strop.common.errors import InputError
from strop.common.packaged import recipe_file
from strop.config import load_overrides
from strop.config.recipe import RECIPES, Recipe, check_said_once, load_recipe
from strop.data.files import data_files, refuse_run
from strop.data.settings import ReadSettings
from strop.doctor.examine import Examination, examine
from strop.doctor.fix import check_target, write_fixed
from strop.doctor.show import show
from strop.train.settings import SftTrainSettings


class _Overrides(BaseModel):
    """What overrides may set where there is no recipe."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    chat: ChatSettings = Field(default_factory=ChatSettings, description="How conversations become tokens.")
    data: ReadSettings = Field(default_factory=ReadSettings, description="How the data are read, e.g. data.split=test.")
    train: SftTrainSettings = Field(default_factory=SftTrainSettings, description="The training loop's settings.")


def doctor(target: Path, overrides: Sequence[str], model: str | None, out: Path | None) -> tuple[int, dict[str, Any]]:
    """Examine the training stages of a recipe, or a data file; returns the exit code and what was found, for JSON.

    Raises InputError when the recipe, the model or a whole file cannot be read, or ``out`` would overwrite an input.
    """
    target = recipe_file(target)
    if model is not None:
        check_said_once(overrides, {"model": "the model is given by --model; name it there."})
    recipe = _recipe(target, overrides, model)
    stages = recipe.examined()
    if not stages:
        raise InputError(f"{target}: has no stage that trains on conversations, so there is nothing to examine.")
    if out is not None and len(stages) > 1:
        raise InputError(f"--fix {out}: the recipe has {len(stages)} SFT stages; give a data file instead.")
    parts = [part for stage in stages.values() for part in stage.mixture.parts]
    read = (data_files(part.path, part.split, part.subset) for part in parts if part.path is not None)
    files = [file for several in read for file in several]
    inputs = list(dict.fromkeys([target, *files]))
    if out is not None:
        check_target(out, inputs)
    console = make_console()
    settings_given = target.suffix in RECIPES or any(o.startswith("train.") for o in overrides)
    found = {}
    for name, stage in stages.items():
        with speaking_on(console):
            found[name] = examine(recipe, stage, console, settings_given, whole=out is not None)
        if len(stages) > 1:
            heading(console, name)
        show(found[name], console)
    if out is not None:
        [examination] = found.values()
        for line in write_fixed(examination, out, inputs):
            console.print(line, soft_wrap=True)
    following = _next_step(target, overrides, list(found.values()), model, out)
    console.print(f"next: {following}", soft_wrap=True, markup=False)
    code = max(one.exit_code for one in found.values())
    return code, {"stages": {name: one.to_dict() for name, one in found.items()}}


def _recipe(target: Path, overrides: Sequence[str], model: str | None) -> Recipe:
    if target.suffix in RECIPES:
        return load_recipe(target, [*overrides, *([f"model={model}"] if model else [])])
    refuse_run(target)
    if model is None:
        raise InputError(f"{target}: a data file is examined for a model: add --model M (a folder, hub id …).")
    settings = load_overrides(_Overrides, overrides)
    data = [{"path": target, **settings.data.model_dump(exclude_unset=True)}]
    stage = {"kind": "sft", "data": data, "train": settings.train}
    return Recipe(name="doctor", model=model, chat=settings.chat, stages={"sft": stage})


def _next_step(
    target: Path, overrides: Sequence[str], found: Sequence[Examination], model: str | None, out: Path | None
) -> str:
    recipe = target.suffix in RECIPES
    for_model = "" if model is None else f" --model {quote(model)}"
    if out is not None:
        return f"put {out} in the recipe's data" if recipe else f"strop doctor {quote(str(out))}{for_model}"
    removable = {"rejected", "duplicate", "near_duplicate", "contamination", "overlap", "blank_turn"}
    again = " ".join(map(quote, [str(target), *overrides]))
    usable = any(row.trained for one in found for data in one.sets for row in data.rows)
    if usable and any(finding.kind in removable for one in found for finding in one.findings):
        return f"strop doctor {again}{for_model} --fix cleaned.jsonl   (leaves out what can be left out)"
    if recipe and not any(one.exit_code for one in found):
        return f"strop run {again}"
    return f"strop inspect {again}{for_model}"
