"""`strop doctor`: what a recipe or a data file names, brought to the doctor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.progress import track

from strop.chat import ChatSettings, fit_tokenizer
from strop.chat.saved import chat_of
from strop.common.console import heading, make_console
from strop.common.errors import InputError
from strop.config import load_overrides
from strop.config.recipe import RECIPES, Recipe, load_recipe
from strop.data.files import data_files
from strop.data.held_out import Division, divide
from strop.data.settings import DataSettings, MixtureSettings, ReadSettings
from strop.doctor.before_training import estimate_stage, evaluation_items, part_rows
from strop.doctor.examine import Examination, ModelFacts, examine
from strop.doctor.findings import Finding, ordered
from strop.doctor.fix import check_target, clean, report_of, write_fixed
from strop.doctor.machine import model_shape
from strop.doctor.rows import DataSet, read_set
from strop.doctor.show import show
from strop.model.names import load_generation_config, load_tokenizer, resolve, stop_token_ids
from strop.model.vocabulary import vocabulary_faults
from strop.model.window import window_of
from strop.stages.base import Examined
from strop.tasks.base import named_sets
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
    recipe = _recipe(target, overrides, model)
    stages = {name: found for name, stage in recipe.stages.items() if (found := stage.examined()) is not None}
    if not stages:
        raise InputError(f"{target}: has no stage that trains on conversations, so there is nothing to examine.")
    if out is not None and len(stages) > 1:
        raise InputError(f"--fix {out}: the recipe has {len(stages)} SFT stages; give a data file instead.")
    files = (file for stage in stages.values() for part in stage.mixture.parts for file in _files(part))
    inputs = list(dict.fromkeys([target, *files]))
    if out is not None:
        check_target(out, inputs)
    console = make_console()
    found = {}
    for name, stage in stages.items():
        settings_given = target.suffix in RECIPES or any(o.startswith("train.") for o in overrides)
        found[name] = _examine(recipe, stage, console, settings_given, whole=out is not None)
        if len(stages) > 1:
            heading(console, name)
        show(found[name], console)
    if out is not None:
        [examination] = found.values()
        fixed = clean(examination)
        write_fixed(fixed, out, inputs)
        console.print(
            f"wrote {out}: {len(fixed.rows):,} rows, {len(fixed.gone):,} left out, {len(fixed.changed):,} changed; "
            f"which and why: {report_of(out)}",
            soft_wrap=True,
        )
        for line in fixed.remarks():
            console.print(line, soft_wrap=True)
    console.print(f"next: {_next_step(target, overrides, found.values(), model, out)}", soft_wrap=True, markup=False)
    code = max(one.exit_code for one in found.values())
    return code, {"stages": {name: one.to_dict() for name, one in found.items()}}


def _recipe(target: Path, overrides: Sequence[str], model: str | None) -> Recipe:
    if target.suffix in RECIPES:
        return load_recipe(target, [*overrides, *([f"model={model}"] if model else [])])
    if model is None:
        raise InputError(f"{target}: a data file is examined for a model: add --model M (a folder, hub id …).")
    settings = load_overrides(_Overrides, overrides)
    data = [{"path": target, **settings.data.model_dump(exclude_unset=True)}]
    stage = {"kind": "sft", "data": data, "train": settings.train}
    return Recipe(name=target.stem, model=model, chat=settings.chat, stages={"sft": stage})


def _examine(recipe: Recipe, stage: Examined, console: Console, settings_given: bool, whole: bool) -> Examination:
    """``settings_given``: whether somebody chose the training settings, so that they are worth a word; ``whole``: look
    at the rows that the stage holds out, too."""
    folder = resolve(recipe.model)
    tokenizer, generation = load_tokenizer(folder), load_generation_config(folder)
    faults = vocabulary_faults(folder, tokenizer, stop_token_ids(tokenizer, generation))
    about_model = [Finding(f.kind, f.level, 1, f.message, f.mend, place=str(folder)) for f in faults]
    chat, notes = chat_of(recipe.chat, folder, tokenizer)
    for line in notes:
        console.print(line, soft_wrap=True, markup=False)
    new = fit_tokenizer(tokenizer, chat.template)
    eos = generation.eos_token_id
    stops = frozenset([eos] if isinstance(eos, int) else eos or ())
    shape = model_shape(folder)
    guess = partial(estimate_stage, recipe, stage, folder)

    def progress(what: str, rows: Iterable[Any], total: int) -> Iterable[Any]:
        return track(rows, what, total, console=console, transient=True, disable=not console.is_terminal)

    division = None if whole or stage.held_out is None else divide(stage.mixture, stage.held_out, named_sets())
    facts = ModelFacts(
        tokenizer,
        stop_token_ids(tokenizer, generation),
        stops or None,
        shape,
        frozenset(tokenizer.convert_tokens_to_ids(new)),
        window_of(folder),
    )
    found = examine(
        _sets(stage.mixture, division),
        facts,
        chat,
        evaluation_items(recipe, stage, division),
        stage.train,
        None if stage.lora else shape.parameters,
        guess,
        stage.mixture.on_bad_row == "skip",
        settings_given,
        progress,
    )
    if division is not None:
        found.sets[0].remarks.append(division.note())
    return replace(found, findings=ordered([*about_model, *found.findings]))


def _sets(mixture: MixtureSettings, division: Division | None) -> list[DataSet]:
    """Every part read to its end, rows that are held out aside, with how often its rows come in an epoch."""
    portions = [None] * len(mixture.parts) if division is None else division.training
    sets = []
    for part, portion in zip(mixture.parts, portions, strict=True):
        remarks: list[str] = []
        sets.append(
            read_set(part.title, partial(part_rows, part, say=remarks.append, portion=portion), part.format, remarks)
        )
    if mixture.mix == "concatenate":
        for part, data in zip(mixture.parts, sets, strict=True):
            data.passes = part.epochs
    else:
        total = mixture.total or sum(len(data.rows) for data in sets)
        weights = sum(part.weight for part in mixture.parts)
        for part, data in zip(mixture.parts, sets, strict=True):
            data.passes = total * part.weight / weights / max(1, len(data.rows))
    return sets


def _files(part: DataSettings) -> list[Path]:
    return data_files(part.path, part.split, part.subset) if part.path is not None else []


def _next_step(
    target: Path, overrides: Sequence[str], found: Iterable[Examination], model: str | None, out: Path | None
) -> str:
    recipe = target.suffix in RECIPES
    found = list(found)
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
