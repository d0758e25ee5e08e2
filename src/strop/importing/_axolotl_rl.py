"""axolotl's preferences and GRPO, which TRL's trainers do: what it hands them, and what they take otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strop.common.errors import InputError
from strop.importing.draft import Draft, number

# rl -> objective.type, and what TRL takes where nothing is given.
PAIRS: dict[str, tuple[str, dict[str, float]]] = {
    "dpo": ("dpo", {}),
    "ipo": ("ipo", {}),
    "simpo": ("simpo", {"simpo_gamma": 0.5, "cpo_alpha": 1.0}),
    "orpo": ("orpo", {}),
    "kto": ("kto", {"kto_desirable_weight": 1.0, "kto_undesirable_weight": 1.0}),
}
_READ = {
    "kto": {"kto_desirable_weight": "desirable_weight", "kto_undesirable_weight": "undesirable_weight"},
    "simpo": {"simpo_gamma": "gamma", "cpo_alpha": "sft_weight"},
    "dpo": {"rpo_alpha": "sft_weight"},
    "ipo": {"rpo_alpha": "sft_weight"},
}
_BETA = 0.1
_NAMES = {"micro_batch_size": "per_device_train_batch_size", "num_epochs": "num_train_epochs"}


def lifted(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings of GRPO by TRL's names, and what each is called in the file. Raises InputError for a ``trl`` that is
    no section."""
    section = given.get("trl") or {}
    if not isinstance(section, Mapping):
        raise InputError(f"trl: expected settings by name, found {section!r:.60}; correct it.")
    found = {_NAMES.get(name, name): value for name, value in given.items() if name != "trl"}
    written = {own: name for name, own in _NAMES.items() if name in given}
    if section.get("beta") is None and given.get("rl_beta") is not None:
        found["beta"], written["beta"] = found.pop("rl_beta"), "rl_beta"
    found |= {name: value for name, value in section.items() if value is not None or name not in found}
    return found, {**written, **{name: f"trl.{name}" for name, value in section.items() if value is not None}}


def preferences(draft: Draft, stage: str) -> None:
    """The objective of ``rl: dpo`` and its like."""
    own, defaults = PAIRS[stage]
    draft.defaults = {**draft.defaults, **defaults}
    smoothing = (draft.number("dpo_label_smoothing") or 0.0) if stage == "dpo" else 0.0
    draft.put("objective.type", "cdpo" if smoothing else own, "rl")
    if smoothing:
        draft.put("objective.label_smoothing", smoothing, "dpo_label_smoothing")
    if stage == "ipo":  # TRL divides log-probabilities by the answers' lengths
        draft.put("objective.length_normalised", True, "rl")
    elif stage == "dpo" and draft.get("dpo_norm_loss"):
        draft.put("objective.length_normalised", True, "dpo_norm_loss")
    _beta(draft)
    for theirs, ours in _READ.get(stage, {}).items():
        if draft.number(theirs) is not None:
            draft.put(f"objective.{ours}", draft.number(theirs), theirs)
    for name in ("dpo_label_smoothing", "dpo_norm_loss"):
        draft.needless(name, "off, as here") if not draft.get(name) else draft.leave(
            name, f"is not read with rl: {stage}"
        )
    for name in ("rpo_alpha", "simpo_gamma", "cpo_alpha", "kto_desirable_weight", "kto_undesirable_weight"):
        draft.leave(name, f"is not read with rl: {stage}")


def _beta(draft: Draft) -> None:
    """``trl.beta``, else ``rl_beta``, else ``orpo_alpha``."""
    section = draft.get("trl")
    within = section.get("beta") if isinstance(section, Mapping) else None
    named = next((name for name in ("rl_beta", "orpo_alpha") if draft.number(name) is not None), None)
    if within is not None:
        draft.put("objective.beta", number(within), "trl")
    else:
        draft.put("objective.beta", draft.number(named) if named else _BETA, *([named] if named else []))
    for name in ("rl_beta", "orpo_alpha"):
        draft.leave(name, "another setting goes before it: trl.beta, then rl_beta, then orpo_alpha")
    if isinstance(section, Mapping) and set(section) - {"beta"}:
        draft.done.discard("trl")
        draft.leave("trl", "of it beta alone is read here")
