"""`strop doctor`: what a recipe or a data file names, brought to the doctor; and its short word before training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.progress import track

from strop.chat import ChatSettings, Conversation, LeftOut, MaskReport, fit_tokenizer, parse_row
from strop.chat.saved import chat_of
from strop.config import load_config, load_overrides
from strop.console import heading, make_console
from strop.data.files import data_files
from strop.data.held_out import Division, Portion, divide
from strop.data.readers import rows_of_part
from strop.data.rows import OnBad, Row, Say, silent
from strop.data.settings import DataSettings, MixtureSettings, ReadSettings
from strop.doctor import DataSet, EvalItem, Examination, Voice, check_examples, clean, examine, read_set, write_fixed
from strop.doctor.findings import Finding, ordered
from strop.doctor.fix import check_target, report_of
from strop.doctor.machine import Adapted, Estimate, estimate, host_memory_gb, model_shape, product_rate
from strop.doctor.quick import Seen, lines
from strop.doctor.show import estimate_words, show
from strop.errors import InputError
from strop.evals.settings import CHAT_LOSS, EvalTaskSettings
from strop.model.cpu.kernels import kernels
from strop.model.names import load_generation_config, load_tokenizer, resolve, stop_token_ids
from strop.model.precision import best_compute
from strop.model.vocabulary import vocabulary_faults
from strop.model.window import window_of
from strop.named_sets import NAMED_SETS
from strop.recipe import RECIPES, Recipe, SftStage
from strop.tasks import humaneval, load_tasks
from strop.tasks.code_basics import generate
from strop.train.settings import SftTrainSettings

if TYPE_CHECKING:
    from strop.data.source import PackedSource
    from strop.stages import Loaded


class _Overrides(BaseModel):
    """What overrides may set where there is no recipe."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    chat: ChatSettings = Field(default_factory=ChatSettings, description="How conversations become tokens.")
    data: ReadSettings = Field(default_factory=ReadSettings, description="How the data are read, e.g. data.split=test.")
    train: SftTrainSettings = Field(default_factory=SftTrainSettings, description="The training loop's settings.")


def doctor(target: Path, overrides: Sequence[str], model: str | None, out: Path | None) -> tuple[int, dict[str, Any]]:
    """Examine every SFT stage of a recipe, or a data file; returns the exit code and what was found, for JSON.

    Raises InputError when the recipe, the model or a whole file cannot be read, or ``out`` would overwrite an input.
    """
    recipe = _recipe(target, overrides, model)
    stages = {name: stage for name, stage in recipe.stages.items() if isinstance(stage, SftStage)}
    if not stages:
        raise InputError(f"{target}: has no stage of kind sft, so there is nothing to examine.")
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


def before_training(
    stage: SftStage,
    recipe: Recipe,
    loaded: Loaded,
    source: PackedSource,
    report: MaskReport,
    console: Console,
    measured: Sequence[Seen] = (),
) -> None:
    """The short examination at the start of an SFT stage: a line for each error and warning.

    ``measured``: the examples of the evaluation loss.
    """
    found = check_examples(
        source.mixture,
        report,
        stage.train,
        loaded.tokenizer,
        loaded.stop_ids,
        evaluation_items(recipe, stage),
        None if stage.lora else sum(p.numel() for p in loaded.policy.parameters()),  # what is usual without adapters
        source.steps,
        measured,
    )
    for line in lines(found):
        console.print(f"doctor: {line}", highlight=False, markup=False, soft_wrap=True)
    lengths = source.mixture.lengths(0)
    if guessed := _guess(recipe, stage, loaded.base.folder, lengths, sum(lengths)):
        console.print(estimate_words(guessed), highlight=False, markup=False, soft_wrap=True)


def _recipe(target: Path, overrides: Sequence[str], model: str | None) -> Recipe:
    if target.suffix in RECIPES:
        return load_config(Recipe, target, [*overrides, *([f"model={model}"] if model else [])])
    if model is None:
        raise InputError(f"{target}: a data file is examined for a model: add --model M (a folder, hub id …).")
    settings = load_overrides(_Overrides, overrides)
    stage = SftStage(
        kind="sft",
        data=[DataSettings(path=target, **settings.data.model_dump(exclude_unset=True))],
        train=settings.train,
    )
    return Recipe(name=target.stem, model=model, chat=settings.chat, stages={"sft": stage})


def _examine(recipe: Recipe, stage: SftStage, console: Console, settings_given: bool, whole: bool) -> Examination:
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
    guess = partial(_guess, recipe, stage, folder)

    def progress(what: str, rows: Iterable[Any], total: int) -> Iterable[Any]:
        return track(rows, what, total, console=console, transient=True, disable=not console.is_terminal)

    division = None if whole or stage.held_out is None else divide(stage.mixture, stage.held_out, NAMED_SETS)
    voice = Voice(
        tokenizer,
        stop_token_ids(tokenizer, generation),
        stops or None,
        shape,
        frozenset(tokenizer.convert_tokens_to_ids(new)),
        window_of(folder),
    )
    found = examine(
        _sets(stage.mixture, division),
        voice,
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


def _guess(
    recipe: Recipe, stage: SftStage, folder: Path, lengths: Sequence[int], epoch_tokens: float
) -> Estimate | None:
    """Memory and time of a stage; None where its model's size is not known. ``lengths``: tokens of each example."""
    shape = model_shape(folder)
    if shape.parameters is None:
        return None
    adapted = _adapted(recipe, stage, folder) if stage.lora else None
    compute = best_compute(recipe.compute.device, recipe.compute.dtype)
    rate = product_rate(compute.device, compute.dtype)
    half = compute.dtype.itemsize == 2
    fast = half and compute.device.type == "cpu" and kernels() is not None
    return estimate(shape, stage.train, lengths, epoch_tokens, rate, half, _memory_gb(compute.device), adapted, fast)


def _adapted(recipe: Recipe, stage: SftStage, folder: Path) -> Adapted:
    """What the stage's adapters take. Raises InputError for adapters that the model or the machine cannot have."""
    from strop.model.lora import add_lora
    from strop.model.preflight import check_lora, outline

    compute = best_compute(recipe.compute.device, recipe.compute.dtype)
    model = outline(folder)
    check_lora(model, stage.lora, compute.device, "lora")
    packed = 0.6 if stage.lora.quantize else compute.dtype.itemsize  # 4 bits, scales, and matrices that are not packed
    return Adapted(add_lora(model, stage.lora).trained, packed)


def _sets(mixture: MixtureSettings, division: Division | None) -> list[DataSet]:
    """Every part read to its end, rows that are held out aside, with how often its rows come in an epoch."""
    portions = [None] * len(mixture.parts) if division is None else division.training
    sets = []
    for part, portion in zip(mixture.parts, portions, strict=True):
        remarks: list[str] = []
        sets.append(
            read_set(part.title, partial(_source, part, say=remarks.append, portion=portion), part.format, remarks)
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


def _memory_gb(device: Any) -> float | None:
    if device.type != "cuda":
        return host_memory_gb()
    import torch

    return torch.cuda.get_device_properties(device).total_memory / 1e9


def _files(part: DataSettings) -> list[Path]:
    return data_files(part.path, part.split, part.subset) if part.path is not None else []


def _source(
    part: DataSettings, on_bad: OnBad | None = None, say: Say = silent, portion: Portion | None = None
) -> Iterable[Row]:
    rows = rows_of_part(part, NAMED_SETS, on_bad, say)
    return rows if portion is None else portion.of(rows)


def evaluation_items(recipe: Recipe, stage: SftStage, division: Division | None = None) -> list[EvalItem]:
    """Everything that the recipe evaluates on: its ``evals``, and the stage's ``eval_data`` or the rows held out."""
    items = [item for name, settings in recipe.evals.items() for item in _task_items(name, settings)]
    for part in stage.eval_mixture.parts:
        items += _chat_items(part.title, _source(part), part.format)
    if division is not None:
        for part, portion in zip(stage.mixture.parts, division.measured, strict=True):
            rows = _source(part, lambda error: None, portion=portion)
            items += _chat_items(f"{part.title} (held out)", rows, part.format)
    return items


def _task_items(name: str, settings: EvalTaskSettings) -> Iterator[EvalItem]:
    if name == CHAT_LOSS:
        task = None if settings.path else "general_chat_heldout"
        part = DataSettings(path=settings.path, task=task, count=settings.count, seed=settings.seed)
        yield from _chat_items(name, _source(part))
    elif settings.path is not None:
        for item in load_tasks(settings.path, settings.count).items:
            yield EvalItem(name, item.name, (item.prompt,))
    elif name == "humaneval":
        for item in humaneval.load()[: settings.count]:
            yield EvalItem(name, item.task_id, (item.prompt,))
    else:
        for record in generate("test", settings.count or 96, settings.seed):
            yield EvalItem(name, record.name, (record.prompt,))


def _chat_items(name: str, rows: Iterable[Row], format: str = "auto") -> Iterator[EvalItem]:
    for place, row in rows:
        read = parse_row(row, place, format)
        if isinstance(read, LeftOut):
            continue
        turns = read.messages if isinstance(read, Conversation) else ()
        said = tuple(m.content for m in turns if m.content and m.role != "system")
        yield EvalItem(name, place, said if isinstance(read, Conversation) else (read.text,))


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
