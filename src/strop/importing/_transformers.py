"""The settings that TRL, LLaMA-Factory and (some under other names) axolotl take from transformers.

Checked against transformers 5.23; what older versions called otherwise is here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from strop.common.errors import InputError
from strop.importing._sources import steps_of_epoch
from strop.importing.draft import Draft, Off, Rules, To, names, number, same, whole
from strop.importing.draft import Needless as NotNeeded

DEFAULTS: dict[str, Any] = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "learning_rate": 5e-5,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0,
    "optim": "adamw_torch_fused",
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "eval_strategy": "no",
    "save_strategy": "steps",
    "save_steps": 500,
    "seed": 42,
}

OPTIMIZERS = {
    **dict.fromkeys(names("adamw_torch adamw_torch_fused adamw_torch_xla adamw_torch_npu_fused"), "adamw"),
    **dict.fromkeys(names("adamw_hf adamw_apex_fused adamw_anyprecision paged_adamw_32bit paged_adamw"), "adamw"),
    **dict.fromkeys(names("adamw_bnb_8bit adamw_8bit paged_adamw_8bit adamw_torch_8bit"), "adamw_8bit"),
    "adafactor": "adafactor",
    "muon": "muon",
}
# transformers' schedule -> (strop's, the floor as a share of the peak; None: of lr_scheduler_kwargs)
SCHEDULES: dict[str, tuple[str, float | None]] = {
    "linear": ("linear", 0.0),
    "cosine": ("cosine", 0.0),
    "constant": ("constant", 0.0),
    "constant_with_warmup": ("constant", 0.0),
    "cosine_with_min_lr": ("cosine", None),
    "cosine_warmup_with_min_lr": ("cosine", None),
    "warmup_stable_decay": ("wsd", None),
}

SHUFFLED = "each epoch has the data in another order (train.seed); strop has none that keeps that of the file"
NEVER = ("no", "none", "false", "off")
"""Words of a strategy by which nothing is done."""
MANY = 1000.0
"""Epochs that never end before the steps that are given."""

_NOT_NEEDED = {
    "every step is written to metrics.jsonl, and the report draws it": "logging_strategy logging_steps "
    "logging_first_step logging_dir logging_nan_inf_filter log_on_each_node log_level log_level_replica report_to "
    "disable_tqdm include_num_input_tokens_seen include_tokens_per_second project trackio_space_id trackio_bucket_id "
    "trackio_static_space_id skip_memory_metrics prediction_loss_only",
    "data are prepared once, kept, and read without a loader's processes": "dataloader_num_workers "
    "dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor dataloader_drop_last "
    "dataloader_multiprocessing_context dataloader_in_order dataset_num_proc preprocessing_num_workers "
    "remove_unused_columns label_names",
    "rows are flat and filled by length, without padding": "group_by_length length_column_name padding_free "
    "pad_to_multiple_of eval_packing average_tokens_across_devices auto_find_batch_size "
    "pad_token padding_side",
    "evaluation rows are as long as training rows": "per_device_eval_batch_size eval_accumulation_steps "
    "eval_do_concat_batches eval_use_gather_object batch_eval_metrics include_for_metrics bf16_full_eval "
    "fp16_full_eval",
    "the fastest exact kernels of the machine are used by themselves": "tf32 use_liger_kernel liger_kernel_config "
    "attn_implementation use_cache torch_empty_cache_steps gradient_checkpointing_kwargs "
    "activation_checkpointing_kwargs",
    "evaluation is also done at both ends": "eval_on_start eval_delay",
    "the stages of a recipe say what is done": "do_train do_eval do_predict",
    "a run that is cut off goes on from its newest checkpoint by the same command": "resume_from_checkpoint "
    "ignore_data_skip restore_callback_states_from_checkpoint save_only_model save_safetensors save_on_each_node "
    "enable_jit_checkpoint overwrite_output_dir",
    "a run is the same bit for bit by its seed": "full_determinism",
}
_NOT_THERE = {
    "strop sends nothing to the hub; upload the folder that `strop export` writes": "push_to_hub hub_model_id "
    "hub_strategy hub_token hub_private_repo hub_always_push hub_revision",
    "how weights are spread over devices is no setting of a recipe": "deepspeed fsdp fsdp_config ddp_backend "
    "ddp_timeout ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_find_unused_parameters local_rank "
    "accelerator_config parallelism_config accelerate_config",
    "the run's folder is runs/NAME; give another with folder=PATH": "output_dir",
    "one seed decides the order of the data and the noise (train.seed)": "data_seed",
    "float16 is not offered: it needs loss scaling; compute.dtype is auto, float32 or bfloat16": "fp16",
    "weights are kept in float32 while they train, and products are taken in compute.dtype": "dtype torch_dtype "
    "model_dtype",
    "strop has no debug hooks of transformers": "debug",
    "optimisers have no further arguments of their own here": "optim_args optim_target_modules",
    "activations are computed again by train.gradient_checkpointing, not moved off the device": "activation_offloading",
    "code from the hub is not run": "trust_remote_code",
    "the model is loaded as its configuration says": "model_init_kwargs model_revision",
    "compiling is train.compile alone": "torch_compile_backend torch_compile_mode",
}


def _clipping(value: Any) -> float:
    """Of gradients; nothing, 0 and infinity clip none."""
    return 1e9 if value is None or value == math.inf else number(value) or 1e9


RULES: Rules = {
    "learning_rate": To("train.learning_rate", number),
    "weight_decay": To("train.weight_decay", number),
    "max_grad_norm": To("train.max_grad_norm", _clipping, (), null=True),
    "seed": To("train.seed", whole),
    "gradient_checkpointing": To("train.gradient_checkpointing", bool, (None, False), null=True),
    "activation_checkpointing": To("train.gradient_checkpointing", bool, (None, False)),
    "torch_compile": To("train.compile", bool, (None, False)),
    "run_name": To("name", str),
    "label_smoothing_factor": Off("is a setting of stage sft here, train.label_smoothing", (None, 0, 0.0)),
    "router_aux_loss_coef": Off("is a setting of stage sft here, train.aux_loss", (None, 0, 0.0)),
    "neftune_noise_alpha": Off("is a setting of stage sft here, train.neftune_alpha", (None, 0, 0.0)),
    **same(NotNeeded, _NOT_NEEDED),
    **same(Off, _NOT_THERE),
    "train_sampling_strategy": Off(SHUFFLED, (None, "random", "group_by_length", "batch_rebalance")),
    "use_cpu": To("compute.device", lambda v: "cpu" if v else "auto", (None, False)),
    "greater_is_better": NotNeeded("keep_best knows which way each metric is better"),
    "model_revision": Off("the model is loaded as its configuration says", (None, "main")),
}
SFT_RULES: Rules = {
    "label_smoothing_factor": To("train.label_smoothing", number, (None, 0, 0.0)),
    "neftune_noise_alpha": To("train.neftune_alpha", number, (None, 0, 0.0)),
    "router_aux_loss_coef": To("train.aux_loss", number, (None, 0, 0.0)),
}
"""Those that only a stage sft has; to be applied before `RULES`."""


def batch(draft: Draft, per: str = "per_device_train_batch_size", steps: str = "gradient_accumulation_steps") -> int:
    """Sequences of one optimiser step over all devices: per device × accumulation × devices."""
    size = (draft.whole(per) or 1) * (draft.whole(steps) or 1)
    if draft.world is None:
        draft.note(
            f"The batch is that of one device ({size:,} sequences a step), since nothing says how many there were; "
            "multiply it by their number where there were more."
        )
    return size * (draft.world or 1)


def note_packed(draft: Draft, size: int) -> None:
    """That a batch of packed rows is not one of as many sequences."""
    draft.note(
        f"Their batch is {size:,} packed rows, ours {size:,} sequences: for as many tokens a step raise "
        "train.global_batch_size by how many samples fit one of their rows."
    )


def walk(draft: Draft, epochs: str = "num_train_epochs") -> None:
    """How long it trains on data that ends. Where steps are given they alone decide, as there: the data begin again."""
    steps = draft.whole("max_steps") or -1
    if steps > 0:
        draft.put("train.max_steps", steps, "max_steps")
        draft.put("train.epochs", MANY)
        draft.needless(epochs, "max_steps decides how long it trains")
    else:
        draft.needless("max_steps", "off, as here")
        draft.put("train.epochs", draft.number(epochs), epochs)


def total_steps(draft: Draft) -> int | None:
    """Optimiser steps of the whole training; None where neither the file says nor the data are here."""
    train, held_out = draft.stage.get("train", {}), draft.stage.get("eval_data")
    if "max_steps" in train or draft.stage["kind"] == "rl":
        return train.get("max_steps")
    share = held_out.get("fraction", 0.0) if isinstance(held_out, Mapping) else 0.0
    each = steps_of_epoch(draft.stage.get("data"), train["global_batch_size"], share)
    return None if each is None else max(1, math.ceil(each * train["epochs"]))


def in_steps(draft: Draft, value: float) -> int | None:
    """A number of steps that may be a share of all (below 1); None where those are not known."""
    if value >= 1:
        return int(value)
    total = total_steps(draft) if value > 0 else None
    return None if total is None else max(1, math.ceil(total * value))


def optimizer(draft: Draft, name: str = "optim") -> None:
    """The optimiser and its moments."""
    given = str(draft.get(name)).rpartition(".")[2].lower()
    if given in OPTIMIZERS:
        draft.put("train.optimizer", OPTIMIZERS[given], name)
    else:
        draft.leave(name, f"strop has no {given}; train.optimizer is adamw, adamw_8bit, adafactor or muon")
    if OPTIMIZERS.get(given) != "adafactor":
        for own, theirs in (("beta1", "adam_beta1"), ("beta2", "adam_beta2"), ("epsilon", "adam_epsilon")):
            if draft.get(theirs) is not None:
                draft.put(f"train.{own}", draft.number(theirs), theirs)
    if draft.number("weight_decay") and not draft.stage.get("lora"):
        draft.note(
            "Weight decay: theirs is also on the embedding; `train.groups: [{match: embedding, weight_decay: …}]` "
            "does that here."
        )


def schedule(draft: Draft, name: str = "lr_scheduler_type", kwargs: str = "lr_scheduler_kwargs") -> None:
    """The course of the learning rate and its warm-up."""
    given = str(draft.get(name)).rpartition(".")[2].lower()
    extra = draft.get(kwargs) or {}
    if not isinstance(extra, Mapping):
        raise InputError(f"{draft.source}: {kwargs}: expected an object, found {extra!r:.60}; correct it.")
    if given in SCHEDULES:
        own, floor = SCHEDULES[given]
        draft.put("train.schedule", own, name)
        if own != "constant":
            _floor(draft, floor, extra, kwargs)
        if own == "wsd":
            _decay(draft, extra, kwargs)
    else:
        draft.leave(
            name, f"strop has no {given}; train.schedule is constant, linear, cosine or wsd (it is cosine here)"
        )
    if extra:
        read = {"min_lr", "min_lr_rate", "min_lr_ratio", "num_decay_steps", "num_stable_steps", "decay_type"}
        if set(extra) - read or given not in SCHEDULES:
            draft.leave(kwargs, f"of it strop has nothing for {', '.join(sorted(set(extra) - read)) or given}")
    if given == "constant":
        draft.put("train.warmup_ratio", 0.0)
        for unread in ("warmup_steps", "warmup_ratio"):
            draft.needless(unread, "their schedule constant has no warm-up")
        return
    warm_up(draft)


def warm_up(draft: Draft) -> None:
    """Steps of warm-up, or their share (which transformers 5 writes as warmup_steps below 1)."""
    steps, ratio = draft.number("warmup_steps") or 0, draft.number("warmup_ratio") or 0.0
    if steps >= 1:
        draft.put("train.warmup_steps", int(steps), "warmup_steps")
        draft.needless("warmup_ratio", "warmup_steps goes before it")
    elif steps:
        draft.put("train.warmup_ratio", steps, "warmup_steps")
        draft.needless("warmup_ratio", "warmup_steps goes before it")
    else:
        draft.put("train.warmup_ratio", ratio, "warmup_ratio" if ratio else "warmup_steps")
        draft.needless("warmup_steps", "0: warmup_ratio counts")
        draft.needless("warmup_ratio", "0: no warm-up")


def _floor(draft: Draft, floor: float | None, extra: Mapping[str, Any], kwargs: str) -> None:
    if floor is None:
        floor = number(extra.get("min_lr_rate", extra.get("min_lr_ratio", 0.0)))
        if "min_lr" in extra:
            floor = number(extra["min_lr"]) / (draft.number("learning_rate") or 1.0)
    draft.put("train.min_lr_ratio", floor, *([kwargs] if extra else []))


def _decay(draft: Draft, extra: Mapping[str, Any], kwargs: str) -> None:
    steps, total = extra.get("num_decay_steps"), draft.whole("max_steps") or -1
    if steps is not None and total > 0:
        draft.put("train.decay_ratio", min(1.0, number(steps) / total), kwargs)
    elif steps is not None:
        draft.note(f"{kwargs}: num_decay_steps is in steps and how many there are is not known: train.decay_ratio is "
                   "strop's own, 0.2.")  # fmt: skip
    shapes = {"linear": "linear", "1-sqrt": "1-sqrt"}
    if (shape := extra.get("decay_type")) in shapes:
        draft.put("train.decay_shape", shapes[shape], kwargs)
    elif shape:
        draft.note(f"{kwargs}: a decay of type {shape} is not there; train.decay_shape is linear.")


def evaluation(draft: Draft, has_data: bool, strategy: str = "eval_strategy") -> None:
    """When the evaluation loss is measured, and which weights are kept."""
    said = [name for name in dict.fromkeys((strategy, "evaluation_strategy", "eval_strategy")) if name in draft.given]
    way = str(draft.text(said[0] if said else strategy)).lower()
    steps = draft.number("eval_steps") or draft.number("logging_steps") or 0
    if not has_data:
        for name in (*said, "eval_steps", "load_best_model_at_end", "metric_for_best_model"):
            draft.needless(name, "there is no evaluation data in this file")
        return
    epochs = draft.stage["train"].get("epochs", MANY)
    every = in_steps(draft, steps) if way == "steps" else None
    if way == "epoch" and epochs != MANY and (total := total_steps(draft)) is not None:
        every = max(1, math.ceil(total / epochs))
    if every is not None:
        draft.put("train.eval_every", every, *(["eval_steps"] if way == "steps" else []), *said)
    elif way not in NEVER:
        for name in (*said, "eval_steps"):
            draft.leave(name, "strop counts evaluations in whole steps (train.eval_every); both ends are measured")
    for name in (*said, "eval_steps"):
        draft.needless(name, "off, as here")
    if draft.get("load_best_model_at_end"):
        metric = draft.get("metric_for_best_model") or "loss"
        if metric in ("loss", "eval_loss") and "eval_every" in draft.stage.get("train", {}):
            draft.put("train.keep_best", "eval_loss", "load_best_model_at_end", "metric_for_best_model")
        else:
            draft.leave("load_best_model_at_end", "train.keep_best needs the evaluation loss at every so many steps")
    draft.leave("metric_for_best_model", "train.keep_best is eval_loss or a metric of train.tasks")
    draft.leave("early_stopping_patience", "strop does not stop early; train.keep_best keeps the best weights")


def saving(draft: Draft, strategy: str = "save_strategy") -> None:
    """When checkpoints are written."""
    way, steps = str(draft.text(strategy)).lower(), draft.number("save_steps") or 0
    every = in_steps(draft, steps) if way == "steps" else None
    if every is not None:
        draft.put("train.checkpoint_every", every, "save_steps")
    elif way in NEVER:
        draft.put("train.checkpoint_every", None, strategy)
    elif way == "epoch":
        draft.put("train.checkpoint_every", "auto", strategy)
    else:
        draft.leave(strategy, "train.checkpoint_every is a number of steps, auto (also at each epoch's end) or null")
    draft.needless(strategy, "as train.checkpoint_every says")
    draft.leave("save_steps", "train.checkpoint_every is in whole steps")
    if draft.get("save_total_limit") is not None:
        draft.put("train.keep_checkpoints", max(1, draft.count("save_total_limit")), "save_total_limit")


def precision(draft: Draft) -> None:
    """bf16, where it is asked for by name."""
    if draft.get("bf16") is True:
        draft.put("compute.dtype", "bfloat16", "bf16")
    draft.needless("bf16", "compute.dtype auto takes the fastest format of the machine")


def window(draft: Draft, length: int | None, per_row: int, too_long: str, *names: str) -> None:
    """The longest example, what becomes of longer ones, and rows that hold ``per_row`` of them; null: none is cut."""
    if names and draft.empty(names[0]):
        draft.put("chat.max_length", None, *names)
        return
    if length is None or length <= 0:
        return
    draft.put("chat.max_length", length, *names)
    draft.put("chat.too_long", too_long)
    draft.put("train.micro_batch_tokens", max(2048, per_row * length))


def drop_lora_dropout(draft: Draft) -> None:
    """Of reinforcement learning, whose trained policy has to be the sampler."""
    lora = draft.stage.get("lora") or {}
    if lora.pop("dropout", 0):
        draft.mapped[:] = [one for one in draft.mapped if one["to"] != "lora.dropout"]
        draft.done.discard("lora_dropout")
        draft.leave("lora_dropout", "with dropout the trained policy is another one than the sampler")
