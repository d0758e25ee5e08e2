"""What is said before a stage trains: the short examination, and what it takes; the doctor says the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.chat import MaskReport
from strop.data.held_out import Division, Portion
from strop.data.readers import rows_of_part
from strop.data.rows import OnBad, Row, Say, silent
from strop.data.settings import DataSettings
from strop.doctor.machine import Adapted, Cost, estimate, host_memory_gb, model_shape, product_rate
from strop.doctor.overlap import EvalItem
from strop.doctor.quick import Tokenized, check_examples, lines
from strop.doctor.show import estimate_words
from strop.model import accelerate
from strop.model.precision import best_compute
from strop.tasks import open_task
from strop.tasks.base import named_sets
from strop.tasks.general_chat import conversation_texts

if TYPE_CHECKING:
    from strop.config.recipe import Recipe
    from strop.data.source import PackedSource
    from strop.rollout.loaded import Loaded
    from strop.stages.base import Context, Examined


def before_training(
    stage: Examined,
    context: Context,
    loaded: Loaded,
    source: PackedSource,
    report: MaskReport,
    measured: Sequence[Tokenized] = (),
) -> None:
    """The short examination at the start of a training stage: a line for each error and warning.

    ``measured``: the examples of the evaluation loss.
    """
    found = check_examples(
        source.mixture,
        report,
        stage.train,
        loaded.tokenizer,
        loaded.stop_ids,
        evaluation_items(context.recipe, stage),
        None if stage.lora else sum(p.numel() for p in loaded.policy.parameters()),  # what is usual without adapters
        source.steps,
        measured,
    )
    for line in lines(found):
        context.say(f"doctor: {line}")
    lengths = source.mixture.lengths(0)
    if guessed := estimate_stage(context.recipe, stage, loaded.base.folder, lengths, sum(lengths)):
        context.say(estimate_words(guessed))


def estimate_stage(
    recipe: Recipe, stage: Examined, folder: Path, lengths: Sequence[int], epoch_tokens: float
) -> Cost | None:
    """Memory and time of a stage; None where its model's size is not known. ``lengths``: tokens of each example."""
    shape = model_shape(folder)
    if shape.parameters is None:
        return None
    adapted = _adapted(recipe, stage, folder) if stage.lora else None
    compute = best_compute(recipe.compute.device, recipe.compute.dtype)
    rate = product_rate(compute.device, compute.dtype)
    half = compute.dtype.itemsize == 2
    fast = half and compute.device.type == "cpu" and accelerate.available()
    return estimate(shape, stage.train, lengths, epoch_tokens, rate, half, _memory_gb(compute.device), adapted, fast)


def _adapted(recipe: Recipe, stage: Examined, folder: Path) -> Adapted:
    """What the stage's adapters take. Raises InputError for adapters that the model or the machine cannot have."""
    from strop.model.lora import add_lora
    from strop.model.preflight import check_lora, outline

    compute = best_compute(recipe.compute.device, recipe.compute.dtype)
    model = outline(folder)
    check_lora(model, stage.lora, compute.device, "lora")
    packed = 0.6 if stage.lora.quantize else compute.dtype.itemsize  # 4 bits, scales, and matrices that are not packed
    return Adapted(add_lora(model, stage.lora).trained, packed)


def _memory_gb(device: Any) -> float | None:
    if device.type != "cuda":
        return host_memory_gb()
    import torch

    return torch.cuda.get_device_properties(device).total_memory / 1e9


def part_rows(
    part: DataSettings, on_bad: OnBad | None = None, say: Say = silent, portion: Portion | None = None
) -> Iterable[Row]:
    """The rows of a part, or of the portion of them that is named."""
    rows = rows_of_part(part, named_sets(), on_bad, say)
    return rows if portion is None else portion.of(rows)


def evaluation_items(recipe: Recipe, stage: Examined, division: Division | None = None) -> list[EvalItem]:
    """Everything that the recipe evaluates on: its ``evals``, and the stage's ``eval_data`` or the rows held out."""
    tasks = [open_task(name, settings) for name, settings in recipe.evals.items()]
    items = [EvalItem(task.name, name, texts) for task in tasks for name, texts in task.texts()]
    for part in stage.eval_mixture.parts:
        items += _conversations(part.title, part_rows(part), part.format)
    if division is not None:
        for part, portion in zip(stage.mixture.parts, division.measured, strict=True):
            rows = part_rows(part, lambda error: None, portion=portion)
            items += _conversations(f"{part.title} (held out)", rows, part.format)
    return items


def _conversations(title: str, rows: Iterable[Row], format: str = "auto") -> list[EvalItem]:
    return [EvalItem(title, place, texts) for place, texts in conversation_texts(rows, format)]
