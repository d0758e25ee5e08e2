"""axolotl: the YAML of ``axolotl train``. Checked with its schemas of 2025.

https://docs.axolotl.ai
"""

from __future__ import annotations

import math
from typing import Any

from strop.importing import _transformers
from strop.importing._axolotl_data import data
from strop.importing._axolotl_rl import PAIRS, lifted, preferences
from strop.importing._axolotl_tables import OTHERS, RULES
from strop.importing._trl_rl import RL_DEFAULTS, RL_RULES, reinforcement
from strop.importing.draft import Draft, names
from strop.importing.programs import Program, register
from strop.importing.reading import Foreign

_DEFAULTS: dict[str, Any] = {
    "micro_batch_size": 1, "gradient_accumulation_steps": 1, "num_epochs": 1.0, "optimizer": "adamw_torch_fused",
    "lr_scheduler": "cosine", "sequence_len": 512, "weight_decay": 0.0, "train_on_inputs": False, "seed": 42,
    "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8, "max_grad_norm": 1.0, "lora_dropout": 0.0,
    "save_strategy": "epoch", "eval_strategy": "no", "excess_length_strategy": "drop",
}  # fmt: skip
_KINDS = {"sft": "sft", "pretrain": "sft", "reward": "reward_model", "grpo": "rl"} | dict.fromkeys(PAIRS, "preference")
_TOO_LONG = {"drop": "drop", "truncate": "truncate", "raise": "error"}
_TEMPLATES = {"chatml": "chatml", "llama3": "llama3"}


@register("axolotl")
class Axolotl(Program):
    title = "axolotl"
    commands = ("axolotl",)
    beside = names("preprocess merge_lora merge_sharded_fsdp_weights inference evaluate fetch vllm_serve quantize "
                   "lm_eval delinearize_llama4")  # fmt: skip
    stages = tuple(_KINDS)
    signs = names("base_model sequence_len sample_packing lora_target_linear micro_batch_size val_set_size "
                      "pad_to_sequence_len dataset_prepared_path flash_attention rl")  # fmt: skip

    @classmethod
    def stage_of(cls, foreign: Foreign) -> str | None:
        given = foreign.given
        if (rl := given.get("rl")) is not None:
            return {"ipo": "ipo", "kto_pair": "kto"}.get(str(rl), str(rl))
        return "reward" if given.get("reward_model") else "pretrain" if given.get("pretraining_dataset") else "sft"

    @classmethod
    def draft(cls, foreign: Foreign, stage: str) -> Draft:
        world = foreign.world or (foreign.given.get("world_size") if isinstance(foreign.given.get("world_size"), int)
                                  else None)  # fmt: skip
        given, written = lifted(foreign.given) if stage == "grpo" else (dict(foreign.given), {})
        own = {**RL_DEFAULTS["grpo"], "per_device_train_batch_size": 1, "num_train_epochs": 1.0}
        defaults = {**own, **_DEFAULTS} if stage == "grpo" else _DEFAULTS
        draft = Draft(str(foreign.path), given, defaults, world, written, null_is_default=True, words=foreign.words)
        draft.put("name", foreign.path.stem)
        draft.stage["kind"] = _KINDS[stage]
        for name in ("rl", "reward_model"):
            draft.needless(name, "it is the kind of the stage here")
        _lora(draft)
        data(draft, stage)
        length, per = draft.whole("sequence_len"), draft.whole("micro_batch_size") or 1
        two = 2 if _KINDS[stage] in ("preference", "reward_model") and stage != "kto" else 1
        too_long = _TOO_LONG.get(str(draft.get("excess_length_strategy")).lower())
        _transformers.window(draft, length, per * two, too_long or "drop", "sequence_len")
        if too_long is None:
            draft.leave("excess_length_strategy", "chat.too_long is drop, truncate or error; it is drop here")
        elif stage != "pretrain":
            draft.put("chat.too_long", too_long, "excess_length_strategy")
        draft.needless("excess_length_strategy", "of text what is longer goes on in the next example")
        if stage == "grpo":
            reinforcement(draft, "grpo")
            _transformers.drop_lora_dropout(draft)
            draft.apply(RL_RULES)
        else:
            _train(draft, stage)
        _transformers.optimizer(draft, "optimizer")
        _warm_up(draft)
        _schedule(draft)
        if draft.get("save_steps"):
            draft.defaults = {**draft.defaults, "save_strategy": "steps"}
        _transformers.saving(draft)
        _per_epoch(draft, "saves_per_epoch", "train.checkpoint_every")
        if draft.get("bf16") is True:
            draft.put("compute.dtype", "bfloat16", "bf16")
        _template(draft)
        for name in ("tokenizer_config", "base_model_config"):
            if draft.get(name) == draft.get("base_model"):
                draft.needless(name, "it is the model's own")
        draft.apply(RULES)
        draft.apply(_transformers.RULES)
        draft.finish(OTHERS)
        return draft


def _lora(draft: Draft) -> None:
    way = draft.get("adapter")
    if way not in ("lora", "qlora"):
        draft.leave("adapter", f"strop has no {way}; all weights are trained in this recipe") if way else None
        for name in ("lora_r", "lora_alpha", "lora_dropout", "lora_target_linear", "lora_target_modules",
                     "lora_modules_to_save", "load_in_4bit", "peft_use_dora", "peft_use_rslora"):  # fmt: skip
            draft.needless(name, "there is no adapter, so it is not read")
        return
    draft.put("lora.r", draft.whole("lora_r", 8), "lora_r", "adapter")
    draft.put("lora.alpha", draft.number("lora_alpha", 16), "lora_alpha")
    draft.put("lora.dropout", draft.number("lora_dropout"), "lora_dropout")
    targets = draft.texts("lora_target_modules")
    if draft.get("lora_target_linear") or not targets:
        draft.put("lora.targets", ["all-linear"], "lora_target_linear")
        draft.leave("lora_target_modules", "lora_target_linear takes all linear layers") if targets else None
    else:
        draft.put("lora.targets", targets, "lora_target_modules")
        draft.needless("lora_target_linear", "off, as here")
    if saved := draft.texts("lora_modules_to_save"):
        draft.put("lora.modules_to_save", saved, "lora_modules_to_save")
    if draft.get("load_in_4bit") or way == "qlora":
        draft.put("lora.quantize", "4bit", "load_in_4bit", "adapter")
    draft.needless("load_in_4bit", "off, as here")


def _train(draft: Draft, stage: str) -> None:
    size = _transformers.batch(draft, "micro_batch_size")
    if (given := draft.whole("batch_size")) and "gradient_accumulation_steps" not in draft.given:
        size = given
        draft.put("train.global_batch_size", size, "batch_size")
    draft.put("train.global_batch_size", size, "micro_batch_size", "gradient_accumulation_steps")
    _transformers.walk(draft, "num_epochs")
    if draft.get("eval_steps"):
        draft.defaults = {**draft.defaults, "eval_strategy": "steps"}
    if "eval_data" in draft.stage:
        _per_epoch(draft, "evals_per_epoch", "train.eval_every")
    draft.needless("evals_per_epoch", "there is no evaluation data in this file")
    _transformers.evaluation(draft, "eval_data" in draft.stage)
    if stage in ("sft", "pretrain"):
        inputs = draft.flag("train_on_inputs")
        draft.put("chat.train_on", "all" if inputs or stage == "pretrain" else "assistant", "train_on_inputs")
        draft.apply(_transformers.SFT_RULES)
        if draft.get("sample_packing"):
            _transformers.note_packed(draft, size)
        if stage == "pretrain":
            draft.recipe["chat"].pop("too_long")  # of text what is longer goes on in the next example
    elif stage == "reward":
        draft.put("objective.type", "bradley_terry")
    else:
        preferences(draft, stage)


def _per_epoch(draft: Draft, name: str, target: str) -> None:
    """So many times an epoch, in steps where those are known."""
    times = draft.number(name) or 0
    if times <= 0:
        draft.needless(name, "off, as here")
    elif (total := _transformers.total_steps(draft)) is not None:
        epochs = draft.number("num_train_epochs" if draft.stage["kind"] == "rl" else "num_epochs") or 1.0
        draft.put(target, max(1, math.ceil(total / (times * epochs))), name)
    elif name == "saves_per_epoch" and times == 1:
        draft.put(target, "auto", name)  # which is also at each epoch's end
    else:
        draft.leave(
            name, f"how many steps an epoch has is not known without the data; set {target} to them / {times:g}"
        )


def _warm_up(draft: Draft) -> None:
    """Theirs is 3 % of the steps and at most 100 of them, where nothing is said."""
    if draft.given.get("warmup_steps") is not None or draft.given.get("warmup_ratio") is not None:
        return
    total = _transformers.total_steps(draft)
    own: dict[str, float] = (
        {"warmup_steps": 100} if total is not None and total > 100 / 0.03 else {"warmup_ratio": 0.03}
    )
    draft.defaults = {**draft.defaults, **own}
    if total is None:
        draft.note("axolotl warms up over 3 % of the steps, but at most 100: set train.warmup_steps=100, without "
                   "warmup_ratio, where there are more than 3,333.")  # fmt: skip


def _schedule(draft: Draft) -> None:
    floor = draft.number("cosine_min_lr_ratio")
    _transformers.schedule(draft, "lr_scheduler")
    if floor is not None and draft.stage["train"].get("schedule") == "cosine":
        draft.put("train.min_lr_ratio", floor, "cosine_min_lr_ratio")


def _template(draft: Draft) -> None:
    name = draft.text("chat_template")
    if name in _TEMPLATES:
        draft.put("chat.template", _TEMPLATES[name], "chat_template")
    elif name in (None, "tokenizer_default", "jinja"):
        draft.needless("chat_template", "the model's own chat template is used, unless chat.template names another")
    else:
        draft.leave("chat_template", "strop knows chatml and llama3 by name; the model's own template is used here, or "
                    "the Jinja file that chat.template names")  # fmt: skip
