"""The stages of a pipeline: each takes a model folder and leaves its results in a folder of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from strop.chat import ChatEncoder, fit_tokenizer
from strop.checkup import before_training
from strop.data.encoding import Encoding
from strop.data.prepare import eval_data_note, prepare_with_evaluation
from strop.data.readers import built_in, read_jsonl
from strop.data.source import PackedSource, rows_of
from strop.errors import InputError
from strop.evals.results import (
    ItemResult,
    code_estimates,
    loss_estimate,
    write_results,
)
from strop.evals.run import run_code_task, run_loss_task
from strop.evals.tasks import CodeTask, HumanEvalTask, code_basics_task, file_task
from strop.files import write_json
from strop.folders import cache_folder, whole_folder
from strop.model.four_bit import quantization
from strop.model.lora import Adapters, add_lora
from strop.model.names import load_generation_config, load_model, load_tokenizer, save_model, stop_token_ids
from strop.model.new_tokens import fit_embeddings, stop_at
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.preflight import check_length, check_training, outline, window
from strop.named_sets import NAMED_SETS
from strop.recipe import CHAT_LOSS, EvalTaskSettings, Recipe, SftStage
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine
from strop.train.loop import train
from strop.train.measure import evaluation
from strop.train.objective import supervised_objective
from strop.train.out_of_memory import explained_out_of_memory


@dataclass
class Loaded:
    """A model with all that goes with it, fitted to the recipe's chat template: what is saved serves as it trained."""

    policy: Policy
    tokenizer: Any
    encoder: ChatEncoder
    stop_ids: frozenset[int]
    adapters: Adapters | None = None

    @classmethod
    def of(
        cls, model: str | Path, recipe: Recipe, compute: Compute, console: Console, stage: SftStage | None = None
    ) -> Loaded:
        """``stage``: the model is loaded to be trained in it, with the adapters that it asks for."""
        lora = stage.lora if stage else None
        tokenizer = load_tokenizer(model)
        known = frozenset(tokenizer.get_vocab().values())
        new = fit_tokenizer(tokenizer, recipe.chat.template)
        encoder = ChatEncoder(tokenizer, recipe.chat, stop_token_ids(tokenizer, load_generation_config(model)))
        # Frozen weights are only ever multiplied, so they are held in the format of products.
        packed = quantization(compute.dtype) if lora and lora.quantize else None
        network = load_model(model, compute.dtype, compute.device, packed) if lora else load_model(model)
        if new:
            grown = fit_embeddings(network, known, tokenizer.convert_tokens_to_ids(new))
            console.print(
                f"template {recipe.chat.template}: {len(new)} tokens are new to the model ({', '.join(new)}); "
                f"they start at the mean of the others, in {len(new) - grown} unused rows and {grown} added ones",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        stop_at(network, encoder.stop_ids)
        adapters = add_lora(network, lora, stage.train.seed) if lora else None
        if adapters:
            console.print(f"lora: {adapters}", highlight=False)
        return cls(Policy(network, compute), tokenizer, encoder, encoder.stop_ids, adapters)

    def save(self, folder: Path) -> None:
        """Write ``folder/model``, adapters merged into it, and these alone to ``folder/adapter`` in peft's format."""
        network = self.policy.plain_model()
        if self.adapters is not None:
            n_bytes = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
            with whole_folder(folder / "adapter", n_bytes, replace=True) as scratch:
                self.adapters.save(scratch)
            network = self.adapters.merge()
        save_model(network, self.tokenizer, folder / "model")


def run_eval(recipe: Recipe, model: str | Path, folder: Path, compute: Compute, console: Console) -> dict[str, Any]:
    """Measure ``model`` on every task of the recipe; every item goes to ``folder/evals/<task>.jsonl``."""
    loaded = Loaded.of(model, recipe, compute, console)
    loaded.encoder.require_template()
    engine = TorchEngine(
        loaded.policy, loaded.stop_ids, max_rows=recipe.compute.max_rows, cache_gb=recipe.compute.cache_gb
    )
    metrics: dict[str, Any] = {}
    for name, settings in recipe.evals.items():
        started = time.perf_counter()
        if name == CHAT_LOSS:
            held_out = built_in("general_chat", "heldout")
            count = settings.count
            rows = read_jsonl(settings.path, count) if settings.path else held_out(count, settings.seed)
            results = run_loss_task(rows, loaded.policy, loaded.encoder, micro_batch_tokens=2048)
            measured = {"general_chat_loss": loss_estimate(results)}
        else:
            task = _code_task(name, settings)
            results = _generate_and_judge(name, task, settings, loaded, engine, console)
            measured = {task.prefix + metric: e for metric, e in code_estimates(results, task.metrics).items()}
        write_results(folder / "evals" / f"{name}.jsonl", results)
        metrics.update({metric: e.to_dict() for metric, e in measured.items()})
        shown = [f"{metric} {e.value:.3f}" for metric, e in measured.items() if not metric.startswith("verdict/")]
        seconds = time.perf_counter() - started
        console.print(f"{name}: {len(results)} items in {seconds:.0f} s: {', '.join(shown)}", highlight=False)
    return {"metrics": metrics}


def _code_task(name: str, settings: EvalTaskSettings) -> CodeTask:
    if settings.path is not None:
        return file_task(settings.path, settings.count, prefix="" if name == "code_basics" else f"{name}_")
    if name == "humaneval":
        return HumanEvalTask(settings.count)
    return code_basics_task(settings.count or 96, settings.seed)


def _generate_and_judge(name, task, settings, loaded: Loaded, engine, console: Console) -> list[ItemResult]:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{name}: answers", total=len(task.items))
        return run_code_task(
            task,
            engine,
            loaded.encoder,
            loaded.tokenizer.decode,
            SamplingParams(max_tokens=settings.max_tokens),
            on_finished=lambda: progress.advance(bar),
        )


def preflight(recipe: Recipe, model: Path, compute: Compute) -> None:
    """Raise InputError for what is known to go wrong in a later stage, before the first one takes its time."""
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
    encoding = Encoding(loaded.tokenizer, recipe.chat, loaded.stop_ids, room, reads)
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
    rows = rows_of(measured, stage.train.micro_batch_tokens)
    if line := eval_data_note(held_out, bool(rows), recipe.chat.max_length):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    evaluate = (lambda: evaluation(loaded.policy, objective, rows)) if rows else None
    torch.manual_seed(seed)  # of dropout, where there is any
    with explained_out_of_memory(stage.train, longest, stage.lora is not None):
        totals = train(loaded.policy, source, objective, stage.train, folder, evaluate=evaluate, title="sft")
    loaded.save(folder)
    return {"totals": totals, "mask": report.to_dict()}
