"""TRL: the settings of its scripts and trainers (SFT, DPO, KTO, ORPO, reward, GRPO, RLOO, PPO). Checked with TRL 1.16.

https://huggingface.co/docs/trl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strop.importing import _sources, _transformers
from strop.importing._trl_rl import RL_DEFAULTS, RL_RULES, reinforcement
from strop.importing.draft import Draft, Off, Rules, To, names, number, same
from strop.importing.draft import Needless as NotNeeded
from strop.importing.programs import Program, register
from strop.importing.reading import Foreign

_BASE = {**_transformers.DEFAULTS, "logging_steps": 10, "gradient_checkpointing": True, "max_length": 1024,
         "dataset_train_split": "train", "dataset_test_split": "test"}  # fmt: skip
_PAIRS = {**_BASE, "learning_rate": 1e-6, "beta": 0.1}
DEFAULTS: dict[str, dict[str, Any]] = {
    "sft": {**_BASE, "learning_rate": 2e-5},
    "dpo": {**_PAIRS, "loss_type": ["sigmoid"]},
    "kto": {**_PAIRS, "loss_type": "kto", "desirable_weight": 1.0, "undesirable_weight": 1.0},
    "orpo": _PAIRS,
    "reward": {**_BASE, "learning_rate": 1e-4},
    **{name: {**_BASE, **own} for name, own in RL_DEFAULTS.items()},
}
_KINDS = {"sft": "sft", "reward": "reward_model"} | dict.fromkeys(("dpo", "kto", "orpo"), "preference")
# What the settings tell of the trainer, where no command line names it.
_SIGNS = {
    "grpo": "num_generations reward_funcs max_completion_length steps_per_generation scale_rewards epsilon "
    "epsilon_high importance_sampling_level mask_truncated_completions vllm_mode top_entropy_quantile",
    "rloo": "normalize_advantages reward_clip_range",
    "ppo": "reward_model_path sft_model_path cliprange cliprange_value vf_coef num_ppo_epochs whiten_rewards "
    "total_episodes missing_eos_penalty",
    "kto": "desirable_weight undesirable_weight",
    "reward": "center_rewards_coefficient",
    "dpo": "f_divergence_type ld_alpha rpo_alpha reference_free precompute_ref_log_probs use_weighting loss_weights "
    "max_prompt_length label_smoothing",
    "sft": "assistant_only_loss completion_only_loss packing packing_strategy dataset_text_field chat_template_path "
    "dataset_kwargs max_seq_length eos_token",
}
_LORA: Rules = {
    "lora_r": To("lora.r", int),
    "lora_alpha": To("lora.alpha", number),
    "lora_dropout": To("lora.dropout", number),
    "use_rslora": To("lora.rslora", bool, (None, False)),
    "use_dora": To("lora.dora", bool, (None, False)),
    "load_in_4bit": To("lora.quantize", lambda on: "4bit", (None, False)),
    "load_in_8bit": Off("8-bit base weights are not offered; lora.quantize: 4bit is"),
    "bnb_4bit_quant_type": Off("4 bits are nf4 here", (None, "nf4")),
    "use_bnb_nested_quant": NotNeeded("4-bit weights are quantised twice"),
    "bnb_4bit_quant_storage": NotNeeded("how 4-bit weights are stored changes no result"),
    "lora_task_type": NotNeeded("the kind of stage says it"),
    "lora_target_parameters": Off("experts that are one parameter are adapted with targets: all-linear"),
}
_LORA_DEFAULTS = {"lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.05}
_RULES: Rules = {
    "model_name_or_path": To("model", str),
    "chat_template_path": To("chat.template", str),
    "chat_template_kwargs": To("chat.template_kwargs", dict, (None, {})),
    "eos_token": To("chat.stop_tokens", lambda token: [token]),
    "sft_model_path": To("model", str),
    **same(
        NotNeeded,
        {
            "rows are always packed without padding, and sequences never see each other": "packing packing_strategy",
            "data are shuffled by train.seed": "shuffle_dataset",
            "the reference's log-probabilities are computed once": "precompute_ref_log_probs precompute_ref_batch_size",
            "a model's dropout is off where answers are compared": "disable_dropout",
            "no bias buffer is synchronised": "ignore_bias_buffers",
        },
    ),
    **same(
        Off,
        {
            "the reference is the model that the stage begins with": "sync_ref_model ref_model_mixup_alpha "
            "ref_model_sync_steps reference_free ref_adapter_name ref_model_init_kwargs force_use_ref_model",
            "is no part of strop's preference losses": "ld_alpha f_divergence_type f_alpha_divergence_coef "
            "use_weighting discopop_tau",
            "strop's reward models are not centred": "center_rewards_coefficient",
            "only the whole example has a length (chat.max_length)": "max_prompt_length",
            "data are prepared before training, not streamed": "dataset_streaming streaming",
            "see docs/data-formats.md": "dataset_kwargs",
        },
    ),
    "f_divergence_type": Off("is no part of strop's preference losses", (None, "reverse_kl")),
    "truncation_mode": Off("chat.too_long: truncate keeps the start", (None, "keep_start")),
}


@register("trl")
class Trl(Program):
    title = "TRL"
    commands = ("trl ", "trl/scripts", "examples/scripts/")
    stages = tuple(DEFAULTS)
    signs = names(
        "dataset_name dataset_text_field assistant_only_loss completion_only_loss reward_funcs num_generations "
        "use_peft lora_target_modules center_rewards_coefficient desirable_weight dataset_train_split "
        "num_ppo_epochs sft_model_path attn_implementation precompute_ref_log_probs scale_rewards"
    )

    @classmethod
    def knows(cls, foreign: Foreign) -> bool:
        # axolotl and LLaMA-Factory share some of the names, and have some that no script of TRL has.
        others = {"base_model", "sequence_len", "finetuning_type", "cutoff_len", "stage"}
        return super().knows(foreign) and not others & foreign.given.keys()

    @classmethod
    def stage_of(cls, foreign: Foreign) -> str | None:
        words = foreign.program.replace("/", " ").replace(".py", " ").replace("_", " ").split()
        if named := [name for name in cls.stages if name in words]:
            return named[0]
        found = [name for name, signs in _SIGNS.items() if set(signs.split()) & foreign.given.keys()]
        if "rloo" in found and "grpo" in found:
            found.remove("grpo")
        if len(found) > 1:  # the settings of sft are also those of others
            found = [name for name in found if name != "sft"]
        if not found and foreign.path.suffix in (".yaml", ".yml", ".json"):
            parts = foreign.path.stem.replace("-", "_").lower().split("_")
            found = [name for name in cls.stages if name in parts]
        return found[0] if len(found) == 1 else None

    @classmethod
    def draft(cls, foreign: Foreign, stage: str) -> Draft:
        given = dict(foreign.given)
        if "max_seq_length" in given:  # until TRL 0.15
            given.setdefault("max_length", given.pop("max_seq_length"))
        draft = Draft(str(foreign.path), given, DEFAULTS[stage], foreign.world)
        draft.put("name", foreign.path.stem) if "run_name" not in given else None
        draft.stage["kind"] = _KINDS.get(stage, "rl")
        lora(draft)
        if stage in RL_DEFAULTS:
            data(draft, "no")
            reinforcement(draft, stage)
            _transformers.drop_lora_dropout(draft)
            draft.apply(RL_RULES)
        else:
            parts = data(draft, str(draft.get("eval_strategy")))
            per = draft.whole("per_device_train_batch_size") or 1
            draft.put("train.global_batch_size", _transformers.batch(draft), "per_device_train_batch_size",
                      "gradient_accumulation_steps")  # fmt: skip
            length = draft.whole("max_length")
            two = 1 if stage in ("sft", "kto") else 2
            _transformers.window(draft, length, per * two, "truncate", "max_length")
            _transformers.walk(draft)
            _transformers.evaluation(draft, "eval_data" in draft.stage)
            {"sft": _sft, "kto": _kto, "orpo": _orpo}.get(stage, _dpo if stage == "dpo" else _reward)(draft, parts)
        _transformers.optimizer(draft)
        _transformers.schedule(draft)
        _transformers.saving(draft)
        _transformers.precision(draft)
        draft.apply(_RULES)
        draft.apply(_transformers.RULES)
        of_others = {name for signs in _SIGNS.values() for name in signs.split()} | {
            *RL_RULES,
            *_transformers.SFT_RULES,
        }
        draft.finish(of_others | {name for other in DEFAULTS.values() for name in other})
        return draft


def lora(draft: Draft) -> None:
    """Adapters, where ``use_peft`` says so."""
    on = draft.flag("use_peft")
    draft.needless("use_peft", "lora is there where adapters are trained")
    if not on:
        for name in (*_LORA, "lora_target_modules", "lora_modules_to_save"):
            draft.needless(name, "use_peft is off, so it is not read")
        return
    draft.defaults = {**_LORA_DEFAULTS, **draft.defaults}
    draft.stage["lora"] = {}
    targets = draft.texts("lora_target_modules")
    if targets:
        draft.put("lora.targets", ["all-linear"] if targets == ["all-linear"] else targets, "lora_target_modules")
    else:
        draft.put("lora.targets", ["q_proj", "v_proj"])
        draft.note("lora_target_modules is not given: peft then takes q_proj and v_proj of Llama-like models; name "
                   "others in lora.targets where the model is of another family.")  # fmt: skip
    if saved := draft.texts("lora_modules_to_save"):
        draft.put("lora.modules_to_save", saved, "lora_modules_to_save")
    draft.apply(_LORA)


def data(draft: Draft, evaluated: str) -> list[dict[str, Any]]:
    """The parts to train on, and what is evaluated where evaluation is on."""
    mixture, size = draft.get("datasets"), draft.number("test_split_size")
    if isinstance(mixture, list) and mixture:
        parts = [_part_of(draft, one, number) for number, one in enumerate(mixture)]
        draft.put("data", parts, "datasets")
        if size:
            draft.put("eval_data", {"fraction": size}, "test_split_size")
        return parts
    name = draft.get("dataset_name")
    if name is None:
        return []
    subset, split = draft.get("dataset_config"), draft.get("dataset_train_split")
    parts = [_sources.part(str(name), subset=subset, split=split if split != "train" else None)]
    draft.put("data", parts, "dataset_name", "dataset_config", "dataset_train_split")
    if evaluated not in ("no", "None", "False"):
        other = draft.get("dataset_test_split")
        draft.put("eval_data", [_sources.part(str(name), subset=subset, split=other)], "dataset_test_split")
    draft.needless("dataset_test_split", "nothing is evaluated on it")
    return parts


def _part_of(draft: Draft, one: Any, number: int) -> dict[str, Any]:
    one = one if isinstance(one, Mapping) else {"path": str(one)}
    known = {"path", "name", "split", "data_files", "columns", "data_dir", "fraction"}
    for key in set(one) - {"path", "name", "split", "data_files"}:
        why = "see `columns` of a part" if key == "columns" else "a part takes `count` rows, or a slice as its split"
        why = why if key in known else "is no setting of a data set there"
        draft.unmapped.append({"setting": f"datasets.{number}.{key}", "value": one[key], "reason": why})
    files = one.get("data_files")
    split = one.get("split")
    return _sources.part(str(files if isinstance(files, str) else one.get("path")), subset=one.get("name"),
                         split=split if split != "train" else None)  # fmt: skip


def _sft(draft: Draft, parts: list[dict[str, Any]]) -> None:
    """Which tokens are trained. Theirs goes by the data: of prompt and completion the completion, of messages every
    token of every role, unless ``assistant_only_loss``."""
    assistant, completion = draft.flag("assistant_only_loss"), draft.get("completion_only_loss")
    shapes = {_sources.shape(one) for one in parts}
    said = ("assistant_only_loss", "completion_only_loss")
    column = draft.get("dataset_text_field")
    if shapes == {"text"} or (column not in (None, "text", "messages") and not assistant):
        for one in parts:
            one |= {"format": "text"} | ({"columns": {"text": column}} if column not in (None, "text") else {})
    if assistant or completion is True:
        draft.put("chat.train_on", "assistant", *said)
    elif completion is False or (shapes and shapes <= {"messages", "sharegpt"}):
        draft.put("chat.train_on", "all", *said)
        draft.note("As there, every token of a conversation is trained, the user's too; chat.train_on=assistant trains "
                   "the answers alone.")  # fmt: skip
    elif shapes != {"text"}:
        draft.put("chat.train_on", "assistant", *said)
        if None in shapes:
            draft.note(
                "Without assistant_only_loss TRL trains every token of a data set of `messages`, and of prompt and "
                "completion the completion; the data are not here to tell. This recipe trains the answers alone; "
                "chat.train_on=all trains all."
            )
    draft.needless("dataset_text_field", "rows are known by their columns")
    if draft.get("packing"):
        _transformers.note_packed(draft, draft.stage["train"]["global_batch_size"])
    loss = draft.get("loss_type", "nll")
    if loss == "dft":
        draft.put("train.dft", True, "loss_type")
    elif loss in ("nll", "chunked_nll"):
        draft.needless("loss_type", "the loss is that of the trained tokens, and no whole matrix of logits is made")
    else:
        draft.leave("loss_type", f"strop has no {loss}")
    draft.apply(_transformers.SFT_RULES)


_LOSSES = {"sigmoid": "dpo", "robust": "robust", "hinge": "hinge", "ipo": "ipo", "simpo": "simpo"}


def _dpo(draft: Draft, parts: list[dict[str, Any]]) -> None:
    types = draft.get("loss_type")
    types = types if isinstance(types, list) else [str(types)]
    weights = draft.get("loss_weights") or [1.0] * len(types)
    smoothing = draft.number("label_smoothing") or 0.0
    chosen = [one for one in types if one != "sft"]
    if len(chosen) == 1 and chosen[0] in _LOSSES and len(weights) == len(types):
        own = "cdpo" if chosen[0] == "sigmoid" and smoothing else _LOSSES[chosen[0]]
        draft.put("objective.type", own, "loss_type")
        if "sft" in types:
            share = number(weights[types.index("sft")]) / number(weights[types.index(chosen[0])])
            draft.put("objective.sft_weight", share, "loss_type", "loss_weights")
        if own in ("cdpo", "robust"):
            draft.put("objective.label_smoothing", smoothing, "label_smoothing")
    else:
        draft.leave("loss_type", f"strop has {', '.join(_LOSSES)}, each alone or with sft; type is dpo here")
    draft.leave("loss_weights", "one loss, and sft_weight beside it, is what strop has")
    draft.needless("label_smoothing", "off, as here") if not smoothing else None
    draft.put("objective.beta", draft.number("beta"), "beta")
    if draft.get("rpo_alpha"):
        draft.put("objective.sft_weight", draft.number("rpo_alpha"), "rpo_alpha")


def _kto(draft: Draft, parts: list[dict[str, Any]]) -> None:
    draft.put("objective.type", "kto")
    draft.put("objective.beta", draft.number("beta"), "beta")
    for name in ("desirable_weight", "undesirable_weight"):
        draft.put(f"objective.{name}", draft.number(name), name)
    if (loss := draft.get("loss_type")) != "kto":
        draft.leave("loss_type", f"strop has no {loss}; the objective is kto")
    draft.needless("loss_type", "objective.type is kto")


def _orpo(draft: Draft, parts: list[dict[str, Any]]) -> None:
    draft.put("objective.type", "orpo")
    draft.put("objective.beta", draft.number("beta"), "beta")


def _reward(draft: Draft, parts: list[dict[str, Any]]) -> None:
    draft.put("objective.type", "bradley_terry")
