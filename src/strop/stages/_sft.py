"""What an SFT stage does: load, encode and prove, train, save."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from strop.common.files import write_json
from strop.common.folders import cache_folder
from strop.data.encoding import Encoding
from strop.data.prepare import eval_data_note, prepare_with_evaluation
from strop.data.settings import always_said
from strop.data.source import PackedSource, rows_of
from strop.doctor.before_training import before_training
from strop.model.preflight import check_length
from strop.model.window import window
from strop.objectives.sft import supervised_objective
from strop.rollout.loaded import load
from strop.stages.base import Context, StageResult
from strop.tasks.base import named_sets
from strop.train.loop import train
from strop.train.neftune import Neftune
from strop.train.out_of_memory import explained_out_of_memory
from strop.train.step import evaluation
from strop.train.weights import Weights

if TYPE_CHECKING:
    from strop.stages.sft import SftStage


def fine_tune(stage: SftStage, context: Context) -> StageResult:
    """Fine-tune the model on the stage's mixture; the result goes to ``model`` in the stage's folder."""
    recipe, settings, folder = context.recipe, stage.train, context.folder
    loaded = load(
        context.model,
        recipe.chat,
        context.compute,
        name=context.model_name,
        dtype=recipe.compute.dtype,
        to_train=True,
        lora=stage.lora,
        seed=settings.seed,
        say=context.say,
    )
    reads = window(loaded.policy.model.config)
    room = min(settings.micro_batch_tokens, reads) if reads else settings.micro_batch_tokens
    encoding = Encoding(loaded.tokenizer, loaded.chat, loaded.stop_ids, room, reads)
    cache, epochs, seed = cache_folder() / "prepared", settings.epochs, settings.seed
    measured_on = stage.held_out or stage.eval_mixture
    data, held_out = prepare_with_evaluation(
        stage.mixture, measured_on, named_sets(), encoding, cache, epochs=epochs, seed=seed
    )
    # Without an example there is nothing to prove, and what was left out says why.
    proven = [f"mask proven on every conversation: {data.report}"] if data.report.examples else data.report.unusual
    for line in (*proven, *data.notes(cache)):
        context.say(line)
    if data.shown:
        write_json(folder / "example.json", data.shown)
    source = PackedSource(
        data.mixture(seed),
        global_batch_size=settings.global_batch_size,
        micro_batch_tokens=settings.micro_batch_tokens,
        epochs=epochs,
    )
    example = source.mixture[source.mixture.longest()]
    longest = len(example.tokens)
    check_length(loaded.policy.model, longest, example.place)
    measured = held_out.first_epoch(seed)
    before_training(stage.examined(), context, loaded, source, data.report, measured)
    objective = supervised_objective(settings)
    alpha = settings.neftune_alpha
    noise = {"neftune": Neftune(loaded.policy, alpha, seed)} if alpha else {}
    rows = rows_of(measured, settings.micro_batch_tokens)
    if line := eval_data_note(held_out, bool(rows), recipe.chat.max_length):
        context.say(line)
    evaluate = (lambda: evaluation(loaded.policy, objective, rows)) if rows else None
    torch.manual_seed(seed)  # of dropout, where there is any
    with explained_out_of_memory(settings, longest, stage.lora is not None):
        weights = Weights(loaded.policy, settings)
        totals = train(
            weights,
            source,
            objective,
            settings,
            folder,
            evaluate=evaluate,
            stateful=noise,
            title="sft",
            console=context.console,
            about={
                "base": loaded.base.name,
                "lora": stage.lora and stage.lora.model_dump(mode="json"),
                "chat": loaded.chat.model_dump(mode="json"),
            },
        )
    with weights.whole():
        loaded.save(folder, always_said(stage.mixture))
    warnings = totals.pop("warnings")
    for warning in warnings:
        context.say(f"warning: {warning}", style="yellow")
    return StageResult(totals=totals, mask=data.report.to_dict(), warnings=warnings)
