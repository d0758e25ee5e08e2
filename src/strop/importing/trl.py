"""TRL: the settings of its scripts and trainers (SFT, DPO, KTO, ORPO, CPO, reward, GRPO, RLOO, PPO, GKD). Checked with
TRL 1.16.

https://huggingface.co/docs/trl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strop.importing import _sources, _transformers
from strop.importing._trl_data import data
from strop.importing._trl_distill import DISTILL_DEFAULTS, DISTILL_RULES, distillation
from strop.importing._trl_names import PEFT_DEFAULTS, PEFT_RULES, flat
from strop.importing._trl_pairs import PAIR_DEFAULTS, preferences
from strop.importing._trl_rl import RL_DEFAULTS, RL_RULES, reinforcement
from strop.importing.draft import Draft, Off, Rules, To, names, number, same, whole
from strop.importing.draft import Needless as NotNeeded
from strop.importing.programs import Program, register
from strop.importing.reading import Foreign

_BASE = {**_transformers.DEFAULTS, "logging_steps": 10, "gradient_checkpointing": True, "max_length": 1024,
         "dataset_train_split": "train", "dataset_test_split": "test"}  # fmt: skip
_PAIRS = {**_BASE, "learning_rate": 1e-6, "beta": 0.1}
DEFAULTS: dict[str, dict[str, Any]] = {
    "sft": {**_BASE, "learning_rate": 2e-5},
    **{name: {**_PAIRS, **own} for name, own in PAIR_DEFAULTS.items()},
    "reward": {**_BASE, "learning_rate": 1e-4},
    **{name: {**_BASE, **own} for name, own in (RL_DEFAULTS | DISTILL_DEFAULTS).items()},
}
_KINDS = (
    {"sft": "sft", "reward": "reward_model"}
    | dict.fromkeys(PAIR_DEFAULTS, "preference")
    | dict.fromkeys(DISTILL_DEFAULTS, "distill")
)
# What the settings tell of the trainer, where no command line names it.
_SIGNS = {
    "grpo": "num_generations reward_funcs max_completion_length steps_per_generation scale_rewards epsilon "
    "epsilon_high importance_sampling_level mask_truncated_completions vllm_mode top_entropy_quantile",
    "rloo": "normalize_advantages reward_clip_range",
    "ppo": "reward_model_path sft_model_path cliprange cliprange_value vf_coef num_ppo_epochs whiten_rewards "
    "total_episodes missing_eos_penalty",
    "kto": "desirable_weight undesirable_weight",
    "reward": "center_rewards_coefficient",
    "cpo": "cpo_alpha simpo_gamma",
    "dpo": "f_divergence_type ld_alpha rpo_alpha reference_free precompute_ref_log_probs use_weighting loss_weights "
    "label_smoothing",
    "gkd": "lmbda seq_kd",
    "distillation": "teacher_model_name_or_path teacher_model_revision",
    "sft": "assistant_only_loss completion_only_loss packing packing_strategy dataset_text_field chat_template_path "
    "dataset_kwargs max_seq_length eos_token",
}
_LORA: Rules = {
    "lora_r": To("lora.r", whole),
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
            "each epoch has the data in another order (train.seed), as there": "shuffle_dataset",
            "the reference's log-probabilities are computed once": "precompute_ref_log_probs precompute_ref_batch_size",
            "a model's dropout is off where answers are compared": "disable_dropout",
            "no bias buffer is synchronised": "ignore_bias_buffers",
            "evaluations with answers are tasks (evals, train.tasks)": "generate_during_eval",
            "sequences are packed, not padded": "padding_value label_pad_token_id",
            "models are decoders": "is_encoder_decoder",
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
    beside = names("vllm_serve env chat skills")
    stages = tuple(DEFAULTS)
    signs = names(
        "dataset_name dataset_text_field assistant_only_loss completion_only_loss reward_funcs num_generations "
        "use_peft lora_target_modules center_rewards_coefficient desirable_weight dataset_train_split "
        "num_ppo_epochs sft_model_path attn_implementation precompute_ref_log_probs scale_rewards dataset_mixture "
        "dataset_mixer cpo_alpha teacher_model_name_or_path"
    )

    @classmethod
    def settings(cls, foreign: Foreign) -> Mapping[str, Any]:
        return flat(foreign.given).given

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
        given = flat(foreign.given)
        if given.stage is not None:
            return given.stage
        found = [name for name, signs in _SIGNS.items() if set(signs.split()) & given.given.keys()]
        for first, second in (("rloo", "grpo"), ("gkd", "distillation"), ("cpo", "dpo")):
            if first in found and second in found:
                found.remove(second)
        if len(found) > 1:  # the settings of sft are also those of others
            found = [name for name in found if name != "sft"]
        if not found and foreign.path.suffix in (".yaml", ".yml", ".json"):
            parts = foreign.path.stem.replace("-", "_").lower().split("_")
            found = [name for name in cls.stages if name in parts]
        return found[0] if len(found) == 1 else None

    @classmethod
    def draft(cls, foreign: Foreign, stage: str) -> Draft:
        given, written, _, peft = flat(foreign.given)
        if "max_seq_length" in given:  # until TRL 0.15
            given.setdefault("max_length", given.pop("max_seq_length"))
        draft = Draft(str(foreign.path), given, DEFAULTS[stage], foreign.world, written, words=foreign.words)
        draft.put("name", foreign.path.stem) if "run_name" not in given else None
        draft.stage["kind"] = _KINDS.get(stage, "rl")
        lora(draft, peft)
        if stage in RL_DEFAULTS:
            data(draft, "no")
            reinforcement(draft, stage)
            _transformers.drop_lora_dropout(draft)
            draft.apply(RL_RULES)
        else:
            parts = data(draft, str(draft.text("evaluation_strategy") or draft.text("eval_strategy")))
            per = draft.whole("per_device_train_batch_size") or 1
            draft.put("train.global_batch_size", _transformers.batch(draft), "per_device_train_batch_size",
                      "gradient_accumulation_steps")  # fmt: skip
            two = 2 if _KINDS[stage] in ("preference", "reward_model") and stage != "kto" else 1
            _transformers.window(draft, draft.whole("max_length"), per * two, "truncate", "max_length")
            _transformers.walk(draft)
            _transformers.evaluation(draft, "eval_data" in draft.stage)
            if stage in DISTILL_DEFAULTS:
                distillation(draft, stage)
                if stage == "gkd":  # of SFT, whose order is another one in any case
                    draft.apply({"shuffle_dataset": _RULES["shuffle_dataset"]})
                draft.apply({**DISTILL_RULES, **RL_RULES})
            elif stage == "sft":
                _sft(draft, parts)
            else:
                preferences(draft, stage)
        _transformers.optimizer(draft)
        _transformers.schedule(draft)
        _transformers.saving(draft)
        _transformers.precision(draft)
        draft.apply(_RULES)
        draft.apply(_transformers.RULES)
        of_others = {name for signs in _SIGNS.values() for name in signs.split()}
        of_others |= {*RL_RULES, *_transformers.SFT_RULES, *DISTILL_RULES}
        draft.finish(of_others | {name for other in DEFAULTS.values() for name in other})
        return draft


def lora(draft: Draft, peft: bool = False) -> None:
    """Adapters, where ``use_peft`` says so, or where ``peft``'s own names are given."""
    on = draft.flag("use_peft", peft)
    draft.needless("use_peft", "lora is there where adapters are trained")
    if not on:
        for name in (*_LORA, *PEFT_RULES, "lora_target_modules", "lora_modules_to_save"):
            draft.needless(name, "use_peft is off, so it is not read")
        return
    draft.defaults = {**(PEFT_DEFAULTS if peft else _LORA_DEFAULTS), **draft.defaults}
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
    draft.apply({**_LORA, **PEFT_RULES})


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
