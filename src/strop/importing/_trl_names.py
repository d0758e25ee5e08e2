"""Where files have TRL's settings: at the top, or in sections called after its classes (``SFTConfig: {…}``); and the
names that peft's ``LoraConfig`` has for adapters, beside those of TRL's command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from strop.importing.draft import Needless, Off, Rules, names

_SECTION = re.compile(
    r"(?:(?P<stage>sft|dpo|kto|orpo|cpo|reward|grpo|rloo|ppo|gkd|distillation)|model|script|training|trainer|dataset"
    r"|(?P<lora>lora|peft)|bits_?and_?bytes|bnb|quantization)_?(?:config|args|arguments)|lora|peft",
    re.IGNORECASE,
)
# peft's names -> those of TRL's command line
_LORA = {
    "r": "lora_r",
    "target_modules": "lora_target_modules",
    "modules_to_save": "lora_modules_to_save",
    "target_parameters": "lora_target_parameters",
    "task_type": "lora_task_type",
}
_BITS = {"bnb_4bit_use_double_quant": "use_bnb_nested_quant"}
# Those of peft that TRL's command line has none for.
_BUT = names(
    "bias init_lora_weights rank_pattern alpha_pattern layers_to_transform layers_pattern layer_replication "
    "exclude_modules fan_in_fan_out inference_mode peft_type lora_bias trainable_token_indices loftq_config"
)
PEFT_DEFAULTS = {"lora_r": 8, "lora_alpha": 8, "lora_dropout": 0.0}
PEFT_RULES: Rules = {
    "bias": Off("biases are not trained beside adapters", (None, "none")),
    "lora_bias": Off("adapters have no bias"),
    "init_lora_weights": Off("adapters begin as peft does by default", (None, True)),
    "trainable_token_indices": Off("lora.train_tokens names tokens, by their text", (None,)),
    **{
        name: Off("every adapter has the same rank and alpha, in all layers")
        for name in ("rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern", "layer_replication")
    },
    "exclude_modules": Off("lora.targets names the modules that have adapters", (None,)),
    "loftq_config": Off("adapters begin as peft does by default", (None,)),
    "peft_type": Off("strop has LoRA, with lora.rslora and lora.dora", (None, "LORA", "lora")),
    "fan_in_fan_out": Needless("it is read off the layer"),
    "inference_mode": Needless("adapters are trained here"),
    "bnb_4bit_compute_dtype": Needless("products are taken in compute.dtype"),
}


class Flat(NamedTuple):
    """``given`` without its sections; ``written``: what each setting is called in the file, where otherwise;
    ``stage``: what a section's name tells; ``peft``: whether adapters are said in peft's own names."""

    given: dict[str, Any]
    written: dict[str, str]
    stage: str | None
    peft: bool


def flat(given: Mapping[str, Any]) -> Flat:
    """All settings of a file by the names of TRL's command line."""
    found: dict[str, Any] = {}
    written: dict[str, str] = {}
    stage: str | None = None
    peft = False
    for name, value in given.items():
        section = _SECTION.fullmatch(name)
        if section is None or not isinstance(value, Mapping):
            own = _LORA.get(name, name)
            peft |= own != name or name in _BUT
            found[own] = value
            written |= {own: name} if own != name else {}
            continue
        lora = bool(section["lora"]) or name.lower() in ("lora", "peft")
        stage, peft = stage or section["stage"], peft or lora
        for inner, one in value.items():
            own = (_LORA if lora else _BITS).get(str(inner), str(inner))
            found[own] = one
            written[own] = f"{name}.{inner}"
    return Flat(found, written, stage.lower() if stage else None, peft)
