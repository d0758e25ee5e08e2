"""What is said before a stage trains: the short examination, and what it takes; the doctor says the same."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strop.chat import MaskReport
from strop.chat.drift import MENDS
from strop.data.held_out import Division, Portion
from strop.data.readers import rows_of_part
from strop.data.rows import OnBad, Row, Say, silent
from strop.data.settings import DataSettings
from strop.doctor.findings import Finding, Tally, ordered
from strop.doctor.likeness import EvalItem, Overlap, check_overlap
from strop.doctor.machine import Adapted, Cost, estimate, host_memory_gb, model_shape, product_rate
from strop.doctor.tokenizer import check_tokenizer
from strop.doctor.training import check_training
from strop.doctor.turns import LEAST_ANSWERS, MOSTLY, SAME_ANSWER
from strop.tasks import open_task
from strop.tasks.base import named_sets
from strop.tasks.general_chat import conversation_texts

if TYPE_CHECKING:
    from strop.config.recipe import Recipe
    from strop.data.batch import Trainable
    from strop.data.mixture import Mixture
    from strop.data.source import PackedSource
    from strop.rollout.loaded import Loaded
    from strop.stages.base import Context, Examined
    from strop.train.settings import TrainSettings

MOST_EXAMPLES = 20_000
"""Duplicates and overlap are looked for in the first so many, which takes a few seconds."""


def before_training(
    stage: Examined,
    context: Context,
    loaded: Loaded,
    source: PackedSource,
    report: MaskReport,
    measured: Sequence[Trainable] = (),
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
        # Of adapters and of preferences the usual rates are others.
        None if stage.lora or stage.content != "conversations" else sum(p.numel() for p in loaded.policy.parameters()),
        source.steps,
        measured,
    )
    for line in lines(found):
        context.say(f"doctor: {line}")
    lengths = source.mixture.lengths(0)
    if guessed := estimate_stage(context.recipe, stage, loaded.base.folder, lengths, sum(lengths)):
        context.say(guessed.words())


def check_examples(
    examples: Mixture[Trainable] | Sequence[Trainable],
    report: MaskReport,
    train: TrainSettings,
    tokenizer: Any,
    stop_ids: Iterable[int],
    items: Sequence[EvalItem] = (),
    parameters: int | None = None,
    steps: int | None = None,
    measured: Sequence[Trainable] = (),
) -> list[Finding]:
    """Errors and warnings only, worst first, of what can be seen without a second pass.

    ``steps``: optimiser steps, where the source knows them; ``measured``: the examples of the evaluation loss, looked
    for token for token. Near duplicates, languages and the turns' order are left to `strop doctor`.
    """
    looked = [examples[i] for i in range(min(len(examples), MOST_EXAMPLES))]
    tally, overlap = Tally(), Overlap(items)
    first: dict[bytes, Trainable] = {}
    answers: Counter[bytes] = Counter()
    for example in looked:
        tokens = np.asarray(example.tokens, np.int32)
        answers[_digest(tokens[np.asarray(example.loss_weights, np.float32) != 0])] += 1
        original = first.setdefault(_digest(tokens), example)
        if original is not example:
            tally.add("duplicate", example.place, f"same as {original.place}")
        if items:
            overlap.look(example.place, [tokenizer.decode(list(example.tokens), skip_special_tokens=True)])
    seen = "" if len(looked) == len(examples) else f" of the first {len(looked):,}"
    found = []
    if copies := [example for example in measured if _digest(example.tokens) in first]:
        are = "is an exact copy" if len(copies) == 1 else "are exact copies"
        message = f"{len(copies):,} of {len(measured):,} items of eval_data {are} of training examples, token for token"
        mend = "give eval_data other data; {fraction: 0.1} holds rows out of the training data"
        found.append(Finding("contamination", "error", len(copies), message, mend, copies[0].place))
    found += [*check_overlap(overlap.matches()), *check_tokenizer(tokenizer, frozenset(stop_ids))]
    found += check_training(train, len(examples), parameters, steps)
    message = f"{{n}} ⟨example|examples⟩{seen} that came before, token for token"
    found += tally.findings({"duplicate": ("warning", message, "strop doctor --fix OUT keeps one of each")})
    if len(looked) >= LEAST_ANSWERS and (share := answers.most_common(1)[0][1] / len(looked)) >= MOSTLY:
        message = f"{'all' if share == 1 else f'{share:.0%} of the'} examples{seen} teach one and the same answer"
        found.append(Finding("same_answer", "warning", len(looked), message, SAME_ANSWER))
    counted = [
        (
            "drift",
            report.drift_turns,
            "turns are learnt after another prompt than inference would feed",
            "; ".join(MENDS[kind] for kind in report.drift_mends) or "strop doctor tries what would mend it",
        ),
        (
            "inferred_stop",
            report.inferred_stops.total(),
            "turns end with a control token outside the stop set",
            "name it in chat.stop_tokens",
        ),
        (
            "missing_stop",
            report.missing_stop + report.truncated_turns,
            "trained turns have no stop token",
            "raise max_length or set chat.too_long",
        ),
    ]
    found += [Finding(kind, "warning", n, f"{n:,} {what}", mend) for kind, n, what, mend in counted if n]
    return ordered(finding for finding in found if finding.level != "note")


def _digest(tokens: Sequence[int] | np.ndarray) -> bytes:
    return hashlib.sha1(np.asarray(tokens, np.int32).tobytes()).digest()


def lines(findings: Sequence[Finding], most: int = 6) -> list[str]:
    """One line for each of the worst ``most``, and one that says how many are left."""
    said = [f"{f.level}: {f.message}{f' ({f.place})' if f.place else ''}; {f.mend}" for f in findings[:most]]
    left = len(findings) - most
    return [*said, f"and {left} more; strop doctor shows them"] if left > 0 else said


def estimate_stage(
    recipe: Recipe, stage: Examined, folder: Path, lengths: Sequence[int], epoch_tokens: float
) -> Cost | None:
    """Memory and time of a stage; None where its model's size is not known. ``lengths``: tokens of each example.

    Raises InputError for adapters that the model or the machine cannot have.
    """
    import torch

    from strop.model import accelerate
    from strop.model.precision import best_compute

    shape = model_shape(folder)
    if shape.parameters is None:
        return None
    compute = best_compute(recipe.compute.device, recipe.compute.dtype)
    device, size, adapted = compute.device, compute.dtype.itemsize, None
    if stage.lora:
        from strop.model.lora import add_lora
        from strop.model.preflight import check_lora, outline

        model = outline(folder)
        check_lora(model, stage.lora, device, "lora")
        packed = 0.6 if stage.lora.quantize else size  # 4 bits, scales, and matrices that are not packed
        adapted = Adapted(add_lora(model, stage.lora).trained, packed)
    rate = product_rate(device, compute.dtype)
    kernels = accelerate.has_kernels(compute)
    cuda = device.type == "cuda"
    memory = torch.cuda.get_device_properties(device).total_memory / 1e9 if cuda else host_memory_gb()
    return estimate(shape, stage.train, lengths, epoch_tokens, rate, size == 2, memory, adapted, kernels)


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
    sources: list[tuple[str, DataSettings, Portion | None]]
    sources = [(part.title, part, None) for part in stage.eval_mixture.parts]
    if division is not None:
        pairs = zip(stage.mixture.parts, division.measured, strict=True)
        sources += [(f"{part.title} (held out)", part, portion) for part, portion in pairs]
    for title, part, portion in sources:
        rows = part_rows(part, None if portion is None else lambda error: None, portion=portion)
        items += [EvalItem(title, place, texts) for place, texts in conversation_texts(rows, part.format)]
    return items
