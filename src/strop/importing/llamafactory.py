"""LLaMA-Factory: the YAML (or arguments) of ``llamafactory-cli train``. Checked with its argument classes of 2025.

https://github.com/hiyouga/LLaMA-Factory; data sets are named in ``dataset_info.json`` in ``dataset_dir``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.importing import _sources, _transformers
from strop.importing._llamafactory_tables import OTHERS, RULES
from strop.importing._trl_rl import epochs_to_steps
from strop.importing.draft import Draft, To, names, number
from strop.importing.programs import Program, register
from strop.importing.reading import Foreign

_DEFAULTS: dict[str, Any] = {
    **_transformers.DEFAULTS, "finetuning_type": "lora", "cutoff_len": 2048,
    "disable_gradient_checkpointing": False, "dataset_dir": "data", "lora_rank": 8,
    "lora_target": "all", "lora_dropout": 0.0, "pref_beta": 0.1, "pref_loss": "sigmoid", "simpo_gamma": 0.5,
    "kto_chosen_weight": 1.0, "kto_rejected_weight": 1.0, "mix_strategy": "concat", "ppo_epochs": 4,
    "ppo_target": 6.0, "ppo_buffer_size": 1, "reward_model_type": "lora", "max_new_tokens": 1024, "temperature": 0.95,
}  # fmt: skip
_KINDS = {"pt": "sft", "sft": "sft", "rm": "reward_model", "dpo": "preference", "kto": "preference", "ppo": "rl"}
_LOSSES = {"sigmoid": "dpo", "hinge": "hinge", "ipo": "ipo", "orpo": "orpo", "simpo": "simpo"}
# Columns of dataset_info.json -> strop's, by the format of the rows.
_COLUMNS = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
}
_BOTH = ("system", "tools", "history", "chosen", "rejected")
_USUAL = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
_TAGS = {"role_tag": ("from", "role"), "content_tag": ("value", "content"), "user_tag": ("human", "user"),
         "assistant_tag": ("gpt", "assistant"), "observation_tag": ("observation", "tool"),
         "function_tag": ("function_call", "tool_calls"), "system_tag": ("system",)}  # fmt: skip
_ENTRY = {"file_name", "hf_hub_url", "formatting", "ranking", "subset", "split", "num_samples", "columns", "tags"}


@register("llamafactory")
class LlamaFactory(Program):
    title = "LLaMA-Factory"
    commands = ("llamafactory-cli", "llamafactory", "src/train.py")
    beside = names("export chat webchat api webui eval version env help")
    stages = tuple(_KINDS)
    signs = names("finetuning_type cutoff_len lora_rank dataset_dir pref_loss pref_beta neat_packing "
                      "preprocessing_num_workers mask_history plot_loss lora_target")  # fmt: skip

    @classmethod
    def stage_of(cls, foreign: Foreign) -> str | None:
        return str(foreign.given.get("stage") or "sft")

    @classmethod
    def draft(cls, foreign: Foreign, stage: str) -> Draft:
        draft = Draft(str(foreign.path), dict(foreign.given), _DEFAULTS, foreign.world, words=foreign.words)
        draft.put("name", foreign.path.stem) if "run_name" not in draft.given else None
        draft.stage["kind"] = _KINDS[stage]
        draft.needless("stage", "it is the kind of the stage here")
        _lora(draft)
        parts = _data(draft, foreign.path, stage)
        per, length = draft.count("per_device_train_batch_size"), draft.whole("cutoff_len")
        _transformers.window(draft, length, per * (2 if stage in ("dpo", "rm") else 1), "truncate", "cutoff_len")
        if stage == "ppo":
            _ppo(draft, parts)
            _transformers.drop_lora_dropout(draft)
        else:
            draft.put("train.global_batch_size", _transformers.batch(draft), "per_device_train_batch_size",
                      "gradient_accumulation_steps")  # fmt: skip
            _transformers.walk(draft)
            _transformers.evaluation(draft, "eval_data" in draft.stage)
        {"dpo": _dpo, "kto": _kto, "pt": _pretraining, "sft": _sft}.get(stage, lambda draft: None)(draft)
        if draft.get("use_muon"):
            draft.put("train.optimizer", "muon", "use_muon")
            draft.needless("optim", "use_muon goes before it")
        else:
            draft.needless("use_muon", "off, as here")
            _transformers.optimizer(draft)
        _transformers.schedule(draft)
        _transformers.saving(draft)
        _transformers.precision(draft)
        draft.apply(RULES)
        draft.apply(_transformers.RULES)
        draft.finish(OTHERS)
        return draft


def _lora(draft: Draft) -> None:
    way = draft.get("finetuning_type")
    bits = draft.whole("quantization_bit")
    if way == "lora":
        rank = draft.count("lora_rank")
        draft.put("lora.r", rank, "lora_rank", "finetuning_type")
        draft.put("lora.alpha", draft.number("lora_alpha", 2 * rank), "lora_alpha")
        targets = draft.texts("lora_target")
        draft.put("lora.targets", ["all-linear"] if targets == ["all"] else targets, "lora_target")
        if saved := draft.texts("additional_target"):
            draft.put("lora.modules_to_save", saved, "additional_target")
        if bits == 4:
            draft.put("lora.quantize", "4bit", "quantization_bit")
    else:
        for name in ("lora_rank", "lora_alpha", "lora_target", "lora_dropout", "use_rslora", "use_dora"):
            draft.needless(name, f"finetuning_type is {way}, so it is not read")
    if way in ("lora", "full"):
        draft.needless("finetuning_type", "all weights are trained where there is no lora")
    else:
        draft.leave("finetuning_type", f"strop has no {way}; all weights are trained in this recipe")
    draft.leave("quantization_bit", "frozen weights under LoRA may be packed in 4 bits (lora.quantize), no other way")
    if draft.get("adapter_name_or_path"):
        draft.leave("adapter_name_or_path", "to go on from adapters name their folder as the model; they are merged")


def _data(draft: Draft, path: Path, stage: str) -> list[dict[str, Any]]:
    found = {}
    for name, own in (("dataset", "data"), ("eval_dataset", "eval_data")):
        if listed := draft.texts(name):
            found[own] = [_part(draft, path, one, stage) for one in listed]
            draft.put(own, found[own], name)
    draft.needless("dataset_dir", "the paths of the data have it in them")
    parts = found.get("data", [])
    if (count := draft.whole("max_samples")) is not None:
        for one in parts:
            one["count"] = min(count, one.get("count", count))
        draft.put("data", parts, "max_samples")
    if draft.get("mix_strategy") != "concat" and (shares := draft.texts("interleave_probs")):
        weighted = [{**one, "weight": number(share)} for one, share in zip(parts, shares, strict=False)]
        draft.put("data", {"parts": weighted, "mix": "weights"}, "mix_strategy", "interleave_probs")
    draft.needless("mix_strategy", "every part in full, all shuffled together")
    if (size := draft.number("val_size")) and size < 1:
        draft.put("eval_data", {"fraction": size}, "val_size")
    elif size:
        draft.leave("val_size", "a share is held out, not a number: eval_data={fraction: 0.1}")
    else:
        draft.needless("val_size", "nothing is held out")
    return parts


def _part(draft: Draft, path: Path, name: str, stage: str) -> dict[str, Any]:
    folder = Path(str(draft.get("dataset_dir"))).expanduser()
    places = [folder, path.parent / folder, path.parent, path.parent / "data"]
    place = next((one for one in places if (one / "dataset_info.json").is_file()), None)
    if place is None:
        raise InputError(
            f"{path}: names the data set {name!r}, and there is no dataset_info.json that says what it is (looked in "
            f"{', '.join(dict.fromkeys(map(str, places)))}); put it beside, or set dataset_dir."
        )
    file = place / "dataset_info.json"
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: is not JSON ({error}); correct it.") from error
    entry = entries.get(name) if isinstance(entries, Mapping) else None
    if not isinstance(entry, Mapping):
        raise InputError(f"{file}: has no data set {name!r}, which {path} names; it has {', '.join(entries)[:200]}.")
    for key in set(entry) - _ENTRY:
        draft.unmapped.append({"setting": f"{file.name}: {name}.{key}", "value": entry[key],
                               "reason": "strop reads files and data sets of the Hugging Face hub"})  # fmt: skip
    source = entry.get("hf_hub_url") or entry.get("file_name")
    if source is None:
        raise InputError(f"{file}: {name} has neither file_name nor hf_hub_url; strop reads these two.")
    split = entry.get("split")
    one = _sources.part(str(source), [] if entry.get("hf_hub_url") else [place], subset=entry.get("subset"),
                        split=split if split != "train" else None, count=entry.get("num_samples"))  # fmt: skip
    if not entry.get("hf_hub_url") and "hub" in one:  # a folder that is not here
        one["path"] = str(place / one.pop("hub"))
    one |= _format(draft, file, name, entry, stage)
    return one


def _format(draft: Draft, file: Path, name: str, entry: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Columns and format of a data set, as far as they are not what strop finds by itself."""
    style, given = entry.get("formatting", "alpaca"), dict(entry.get("columns") or {})
    if stage == "pt":
        return {"format": "text", "columns": {"text": str(given.get("prompt", "text"))}}
    own = dict(_COLUMNS["alpaca" if style == "alpaca" else "sharegpt"])
    if entry.get("ranking"):
        own |= {"prompt": "prompt", "messages": "prompt"}
    if given.get("kto_tag"):
        own["kto_tag"] = "label"
    columns = {}
    for theirs, source in given.items():
        target = own.get(theirs) or (theirs if theirs in _BOTH else None)
        if target is None:
            reason = "strop reads texts alone, by the columns of docs/data-formats.md"
            setting = f"{file.name}: {name}.columns.{theirs}"
            draft.unmapped.append({"setting": setting, "value": source, "reason": reason})
        elif source is not None and target != source and not (target == "conversations" and source == "messages"):
            columns[target] = str(source)
    for tag, value in (entry.get("tags") or {}).items():
        if value not in _TAGS.get(tag, ()):
            reason = f"strop knows {' and '.join(_TAGS.get(tag, ('the usual ones',)))}"
            draft.unmapped.append({"setting": f"{file.name}: {name}.tags.{tag}", "value": value, "reason": reason})
    return {"columns": columns} if columns else {}


def _sft(draft: Draft) -> None:
    if draft.flag("train_on_prompt"):
        draft.put("chat.train_on", "all", "train_on_prompt")
    elif draft.flag("mask_history"):
        draft.put("chat.train_on", "last", "mask_history")
    else:
        draft.put("chat.train_on", "assistant", "train_on_prompt", "mask_history")
    for name in ("train_on_prompt", "mask_history"):
        draft.needless(name, "off, as here")
    if draft.get("use_dft_loss"):
        draft.put("train.dft", True, "use_dft_loss")
    draft.apply({**_transformers.SFT_RULES, "moe_aux_loss_coef": To("train.aux_loss", number, (None, 0, 0.0))})
    if draft.get("packing") or draft.get("neat_packing"):
        _transformers.note_packed(draft, draft.stage["train"]["global_batch_size"])


def _pretraining(draft: Draft) -> None:
    draft.put("chat.train_on", "all")
    draft.stage["train"]["micro_batch_tokens"] = max(2048, draft.stage["train"]["micro_batch_tokens"])
    draft.recipe["chat"].pop("too_long")  # of text what is longer goes on in the next example
    draft.apply(_transformers.SFT_RULES)


def _dpo(draft: Draft) -> None:
    loss, smoothing = str(draft.get("pref_loss")), draft.number("dpo_label_smoothing") or 0.0
    if loss in _LOSSES:
        own = "cdpo" if loss == "sigmoid" and smoothing else _LOSSES[loss]
        draft.put("objective.type", own, "pref_loss")
        if own == "cdpo":
            draft.put("objective.label_smoothing", smoothing, "dpo_label_smoothing")
        if own == "ipo":  # theirs divides log-probabilities by the answers' lengths
            draft.put("objective.length_normalised", True, "pref_loss")
        if own == "simpo":
            beta = draft.number("pref_beta") or 1.0
            draft.put("objective.gamma", draft.number("simpo_gamma"), "simpo_gamma")
            draft.put("objective.beta", beta, "pref_beta")
    else:
        draft.leave("pref_loss", f"strop has {', '.join(_LOSSES)}; type is dpo here")
    draft.needless("dpo_label_smoothing", "off, as here")
    draft.put("objective.beta", draft.number("pref_beta"), "pref_beta")
    if draft.number("pref_ftx"):
        draft.put("objective.sft_weight", draft.number("pref_ftx"), "pref_ftx")
    draft.needless("pref_ftx", "off, as here")


def _kto(draft: Draft) -> None:
    draft.put("objective.type", "kto")
    draft.put("objective.beta", draft.number("pref_beta"), "pref_beta")
    draft.put("objective.desirable_weight", draft.number("kto_chosen_weight"), "kto_chosen_weight")
    draft.put("objective.undesirable_weight", draft.number("kto_rejected_weight"), "kto_rejected_weight")


def _ppo(draft: Draft, parts: list[dict[str, Any]]) -> None:
    prompts = _transformers.batch(draft) * (draft.whole("ppo_buffer_size") or 1)
    updates, mini = draft.count("ppo_epochs"), draft.whole("ppo_buffer_size") or 1
    draft.put("data", [{key: one[key] for key in ("path", "hub", "split", "subset", "count") if key in one}
                       for one in parts], "dataset") if parts else None  # fmt: skip
    draft.put("rollout.group_size", 1)
    draft.put("rollout.prompts_per_step", prompts, "per_device_train_batch_size", "gradient_accumulation_steps",
              "ppo_buffer_size")  # fmt: skip
    draft.put("rollout.mini_batches", mini, "ppo_buffer_size")
    draft.put("rollout.updates_per_rollout", updates, "ppo_epochs")
    draft.put("rollout.max_tokens", draft.whole("max_new_tokens"), "max_new_tokens")
    draft.put("rollout.temperature", draft.number("temperature"), "temperature")
    draft.put("objective.preset", "ppo")
    draft.put("objective.kl_target", draft.number("ppo_target"), "ppo_target")
    if (model := draft.get("reward_model")) is not None:
        draft.put("rewards", {"score": {"kind": "model", "path": str(model)}}, "reward_model")
    if draft.get("reward_model_type") != "full":
        draft.leave("reward_model_type", "a reward model is a whole model of scores: merge its adapters first")
    draft.needless("reward_model_type", "as here")
    if (draft.whole("max_steps") or -1) > 0:
        draft.put("train.max_steps", draft.whole("max_steps"), "max_steps")
    else:
        epochs_to_steps(draft, draft.amount("num_train_epochs"), "num_train_epochs", prompts, updates * mini)
