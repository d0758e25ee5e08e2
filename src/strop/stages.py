"""The stages of a pipeline: each takes a model folder and leaves its results in a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer
from strop.chat.saved import chat_of, save_chat
from strop.checkup import before_training
from strop.data.encoding import Encoding
from strop.data.prepare import eval_data_note, prepare_with_evaluation
from strop.data.settings import always_said
from strop.data.source import PackedSource, rows_of
from strop.errors import InputError
from strop.evals.measure import Measurement
from strop.evals.preflight import check_evals
from strop.files import write_json
from strop.folders import cache_folder, whole_folder
from strop.model import adapter
from strop.model.base import Base
from strop.model.four_bit import quantization
from strop.model.lora import Adapters, add_lora
from strop.model.names import load_generation_config, load_model, load_tokenizer, resolve, save_model, stop_token_ids
from strop.model.new_tokens import fit_embeddings, stop_at
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.preflight import check_length, check_training, outline
from strop.model.settings import LoraSettings
from strop.model.vocabulary import (
    check_tokens,
    matrices_of,
    template_token_ids,
    token_ids,
    untrained_fault,
    untrained_rows,
)
from strop.model.window import window
from strop.named_sets import NAMED_SETS
from strop.objectives.sft import supervised_objective
from strop.recipe import EvalStage, Recipe, SftStage
from strop.rollout.torch_engine import TorchEngine
from strop.train.loop import train
from strop.train.measure import evaluation
from strop.train.neftune import Neftune
from strop.train.out_of_memory import explained_out_of_memory
from strop.train.weights import Weights


@dataclass
class Loaded:
    """A model with all that goes with it, fitted to the recipe's chat template: what is saved serves as it trained."""

    policy: Policy
    tokenizer: Any
    encoder: ChatEncoder
    stop_ids: frozenset[int]
    chat: ChatSettings
    base: Base
    dtype: str | None = None
    adapters: Adapters | None = None
    lora: LoraSettings | None = None

    @classmethod
    def of(
        cls, model: str | Path, recipe: Recipe, compute: Compute, console: Console, stage: SftStage | None = None
    ) -> Loaded:
        """``stage``: the model is loaded to be trained in it, with the adapters that it asks for."""
        lora = stage.lora if stage else None
        tokenizer = load_tokenizer(model)
        chat, notes = chat_of(recipe.chat, Path(model), tokenizer)
        known = frozenset(tokenizer.get_vocab().values())
        new = fit_tokenizer(tokenizer, chat.template)
        new_ids = dict(zip(new, tokenizer.convert_tokens_to_ids(new), strict=True))
        encoder = ChatEncoder(tokenizer, chat, stop_token_ids(tokenizer, load_generation_config(model)))
        # Frozen weights are only ever multiplied, so they are held in the format of products.
        packed = quantization(compute.dtype) if lora and lora.quantize else None
        network = load_model(model, compute.dtype, compute.device, packed) if lora else load_model(model)
        if new:
            grown = fit_embeddings(network, known, new_ids.values())
            notes.append(
                f"template {chat.template}: {len(new)} tokens are new to the model ({', '.join(new)}); "
                f"they start at the mean of the others, in {len(new) - grown} unused rows and {grown} added ones"
            )
        stop_at(network, encoder.stop_ids)
        given = recipe.model if Path(model) == resolve(recipe.model) else str(model)
        rows = network.get_input_embeddings().weight.shape[0]
        control = {*encoder.stop_ids, *template_token_ids(tokenizer)}
        notes += [note] if (note := check_tokens(tokenizer, rows, control, given)) else []
        adapters = None
        if stage:
            faults = untrained_rows(matrices_of(network), control - set(new_ids.values()))
            trained = token_ids(tokenizer, lora.train_tokens) if lora else frozenset()
            faults = {i: why for i, why in faults.items() if i not in trained}
            notes += [str(fault)] if (fault := untrained_fault(tokenizer, faults, lora is not None)) else []
            adapters = add_lora(network, lora, stage.train.seed, {*new_ids.values(), *trained}) if lora else None
            notes += [f"lora: {adapters}"] if adapters else []
        for line in notes:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        base = Base(given, Path(model), rows, known, new_ids)
        dtype = None if recipe.compute.dtype == "auto" else recipe.compute.dtype
        policy = Policy(network, compute)
        policy.token_name = lambda index: f"{index} {tokenizer.convert_ids_to_tokens(index)!r}"
        return cls(policy, tokenizer, encoder, encoder.stop_ids, chat, base, dtype, adapters, lora)

    def save(self, folder: Path, system: str | None = None) -> None:
        """Write ``folder/model``, adapters merged into it, and these alone to ``folder/adapter`` in peft's format.

        ``system``: the instructions that every conversation of the training began with, where there are such.
        """
        network = self.policy.plain_model()
        merged = None
        if self.adapters is not None:
            n_bytes = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
            with whole_folder(folder / "adapter", n_bytes, replace=True) as scratch:
                self.adapters.save(scratch)
                adapter.describe(scratch, self.base, self.tokenizer, self.lora)
                save_chat(scratch, self.chat, system, self.dtype)
            merged = adapter.note_merged(folder / "adapter")
            own = None if self.lora.quantize else self.base.whole(self.policy.compute.dtype)
            network = self.adapters.merge(base=own)

        def beside(scratch: Path) -> None:
            save_chat(scratch, self.chat, system, self.dtype)
            if merged is not None:
                merged(scratch)

        save_model(network, self.tokenizer, folder / "model", beside)


def run_eval(recipe: Recipe, model: str | Path, folder: Path, compute: Compute, console: Console) -> dict[str, Any]:
    """Measure ``model`` on every task of the recipe; every item goes to ``folder/evals/<task>.jsonl``.

    What is done is kept beside it as it is done, so that the same call goes on where it was cut off.
    """
    loaded = Loaded.of(model, recipe, compute, console)
    loaded.encoder.require_template()
    engine = TorchEngine(
        loaded.policy, loaded.stop_ids, max_rows=recipe.compute.max_rows, cache_gb=recipe.compute.cache_gb
    )
    measurement = Measurement(
        Path(model), loaded.policy, loaded.tokenizer, loaded.encoder, engine, folder / "evals", console
    )
    return measurement.run(recipe.evals)


def preflight(recipe: Recipe, model: Path, compute: Compute) -> None:
    """Raise InputError for what is known to go wrong in a later stage, before the first one takes its time."""
    if any(isinstance(stage, EvalStage) for stage in recipe.stages.values()):
        check_evals(recipe.evals, recipe.chat, model)
    for name, stage in recipe.stages.items():
        if isinstance(stage, SftStage):
            if stage.train.offload_optimizer and compute.device.type == "cpu":
                raise InputError(
                    f"stages.{name}.train.offload_optimizer: this run computes on {compute.device}, so the optimiser's "
                    "state is in the host's memory already; leave it out."
                )
            check_training(model, stage.lora, recipe.chat.max_length, compute.device, f"stages.{name}")
            if stage.lora:
                add_lora(outline(model), stage.lora)  # what peft itself refuses, on a model without weights


def run_sft(
    stage: SftStage, recipe: Recipe, model: str | Path, folder: Path, compute: Compute, console: Console
) -> dict[str, Any]:
    """Fine-tune ``model`` on the stage's mixture; the result goes to ``folder/model``."""
    loaded = Loaded.of(model, recipe, compute, console, stage)
    reads = window(loaded.policy.model.config)
    room = min(stage.train.micro_batch_tokens, reads) if reads else stage.train.micro_batch_tokens
    encoding = Encoding(loaded.tokenizer, loaded.chat, loaded.stop_ids, room, reads)
    cache, epochs, seed = cache_folder() / "prepared", stage.train.epochs, stage.train.seed
    measured_on = stage.held_out or stage.eval_mixture
    data, held_out = prepare_with_evaluation(
        stage.mixture, measured_on, NAMED_SETS, encoding, cache, epochs=epochs, seed=seed
    )
    report = data.report
    console.print(f"mask proven on every conversation: {report}", highlight=False)
    for line in data.notes(cache):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if data.shown:
        write_json(folder / "example.json", data.shown)
    source = PackedSource(
        data.mixture(seed),
        global_batch_size=stage.train.global_batch_size,
        micro_batch_tokens=stage.train.micro_batch_tokens,
        epochs=epochs,
    )
    example = source.mixture[source.mixture.longest()]
    longest = len(example.tokens)
    check_length(loaded.policy.model, longest, example.place)
    measured = held_out.first_epoch(seed)
    before_training(stage, recipe, loaded, source, report, console, measured)
    objective = supervised_objective(stage.train)
    alpha = stage.train.neftune_alpha
    noise = {"neftune": Neftune(loaded.policy, alpha, seed)} if alpha else {}
    rows = rows_of(measured, stage.train.micro_batch_tokens)
    if line := eval_data_note(held_out, bool(rows), recipe.chat.max_length):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    evaluate = (lambda: evaluation(loaded.policy, objective, rows)) if rows else None
    torch.manual_seed(seed)  # of dropout, where there is any
    with explained_out_of_memory(stage.train, longest, stage.lora is not None):
        weights = Weights(loaded.policy, stage.train)
        totals = train(
            weights,
            source,
            objective,
            stage.train,
            folder,
            evaluate=evaluate,
            stateful=noise,
            title="sft",
            console=console,
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
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    return {"totals": totals, "mask": report.to_dict(), "warnings": warnings}
