"""The TRL side of the training benchmarks: its trainers, fed with the same token ids and mask as strop.

Only the work between steps is timed, from the end of one optimiser step to the end of another, so that making a batch
counts as it does for strop.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, TrainerCallback
from transformers.utils import logging
from trl import SFTConfig, SFTTrainer

from common.clock import now, rates
from common.machine import fast_bfloat16
from common.models import make_model

logging.set_verbosity_error()
COMMON = {
    "save_strategy": "no",
    "report_to": [],
    "logging_steps": 1000,
    "learning_rate": 1e-6,
    "disable_tqdm": True,
    "seed": 0,
}


def padder() -> PreTrainedTokenizerFast:
    """Token ids go in, so a tokenizer is needed for its padding alone."""
    words = Tokenizer(WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def words(vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer whose token i is written ``i``: ids become text and the same ids again."""
    tokens = Tokenizer(WordLevel({str(i): i for i in range(vocabulary)}, unk_token="0"))
    tokens.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="0", bos_token="1", eos_token="2")


def arguments(batch: int, steps: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Trainer settings for ``batch`` sequences per optimiser step; ``settings`` are TRL's, by its names."""
    output = Path(tempfile.gettempdir()) / "strop-bench-trl"  # one for all: nothing is saved
    chosen = {**COMMON, "output_dir": str(output), "max_steps": steps, **settings}
    per_device = min(chosen.get("per_device_train_batch_size", 8), batch)
    chosen.setdefault("gradient_accumulation_steps", batch // per_device)
    if not torch.cuda.is_available():
        chosen.update(use_cpu=True, dataloader_pin_memory=False)
    return {**chosen, "per_device_train_batch_size": per_device}


def sft(given: argparse.Namespace, examples: Sequence, settings: Mapping[str, Any]) -> dict[str, float]:
    """Rates of SFTTrainer. ``settings``: SFTConfig's by name, and ``lora`` (peft's LoraConfig)."""
    settings, batch = dict(settings), given.batch
    lora = settings.pop("lora", None)
    rows = [{"input_ids": e.tokens, "completion_mask": [int(w != 0) for w in e.loss_weights]} for e in examples]
    if settings.get("packing"):  # a row holds many sequences: as many rows as have the tokens of ``batch`` sequences
        tokens = batch * sum(len(e.tokens) for e in examples) / len(examples)
        batch = max(1, round(tokens / settings["max_length"]))
    trainer = SFTTrainer(
        model=make_model(given.model),
        args=SFTConfig(**arguments(batch, given.warmup + given.steps, settings), completion_only_loss=True),
        train_dataset=Dataset.from_list(rows),
        processing_class=padder(),
        peft_config=_lora(lora),
    )
    return watch(trainer, given.warmup, given.steps, _count)


def _lora(settings: Mapping[str, Any] | None):
    if not settings:
        return None
    from peft import LoraConfig

    shared = {"task_type": "CAUSAL_LM", "lora_alpha": 32, "target_modules": "all-linear"}  # strop's defaults
    return LoraConfig(**shared, **settings)


def _count(batch: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    """Tokens without padding, and trained ones."""
    ids = batch["attention_mask"].sum() if "attention_mask" in batch else batch["input_ids"].numel()
    return int(ids), int((batch["labels"][:, 1:] != -100).sum())


def watch(trainer, warmup: int, steps: int, count: Callable) -> dict[str, float]:
    """Train and report rates over the last ``steps``. ``count`` gives the tokens and trained tokens of a batch."""
    ends, batches, collate = [], [], trainer.data_collator

    class Ends(TrainerCallback):
        def on_step_end(self, *args, **kwargs):
            ends.append(now())

    def counted(features):
        made = collate(features)
        batches.append(count(made))
        return made

    trainer.data_collator = counted
    trainer.add_callback(Ends())
    trainer.train()
    each = trainer.args.gradient_accumulation_steps
    timed = batches[warmup * each : (warmup + steps) * each]  # one more may have been made ahead
    tokens, trained = (sum(column) for column in zip(*timed, strict=True))
    return rates(tokens, trained, ends[warmup - 1], ends[-1], steps)


def dpo(given: argparse.Namespace, pairs: Sequence[Sequence], per_step: int) -> dict[str, float]:
    """Rates of DPOTrainer at its best: bfloat16, two pairs at a time, the reference's log-probabilities precomputed."""
    from trl import DPOConfig, DPOTrainer

    class Tokenised(DPOTrainer):
        """Takes token ids as they are, and made-up log-probabilities of the reference."""

        def _prepare_dataset(self, dataset, *args):
            return dataset

        def _precompute_ref_logps(self, dataset, *args):  # a constant serves as well
            constant = [-100.0] * len(dataset)
            return dataset.add_column("ref_chosen_logps", constant).add_column("ref_rejected_logps", constant)

    rows = []
    for chosen, rejected in pairs:
        start = chosen.loss_weights.index(1.0)
        answers = {"chosen_ids": chosen.tokens[start:], "rejected_ids": rejected.tokens[start:]}
        rows.append({"prompt_ids": chosen.tokens[:start], **answers})
    settings = {
        "bf16": fast_bfloat16(),
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 2,
        "max_length": None,
    }
    settings |= {"precompute_ref_log_probs": True, "train_sampling_strategy": "sequential"}
    trainer = Tokenised(
        model=make_model(given.model),
        args=DPOConfig(**arguments(per_step, given.warmup + given.steps, settings)),
        train_dataset=Dataset.from_list(rows),
        processing_class=padder(),
    )

    def count(batch):
        return int(batch["attention_mask"].sum()), int(batch["completion_mask"][:, 1:].sum())

    return watch(trainer, given.warmup, given.steps, count)
