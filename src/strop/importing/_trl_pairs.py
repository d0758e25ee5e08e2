"""TRL's trainers of preferences (DPO, KTO, ORPO, CPO with SimPO) and of reward models."""

from __future__ import annotations

from typing import Any

from strop.importing.draft import Draft, number

PAIR_DEFAULTS: dict[str, dict[str, Any]] = {
    "dpo": {"loss_type": ["sigmoid"]},
    "kto": {"loss_type": "kto", "desirable_weight": 1.0, "undesirable_weight": 1.0},
    "orpo": {},
    "cpo": {"loss_type": "sigmoid", "cpo_alpha": 1.0, "simpo_gamma": 0.5},
}
# TRL's loss_type of DPO -> objective.type, and whether it takes means over an answer's tokens.
LOSSES: dict[str, tuple[str, bool]] = {
    "sigmoid": ("dpo", False),
    "sigmoid_norm": ("dpo", True),
    "robust": ("robust", False),
    "hinge": ("hinge", False),
    "ipo": ("ipo", True),
}


def preferences(draft: Draft, stage: str) -> None:
    """The objective of one of these trainers."""
    if stage == "reward":
        draft.put("objective.type", "bradley_terry")
        return
    {"dpo": _dpo, "kto": _kto, "orpo": _orpo, "cpo": _cpo}[stage](draft)


def _dpo(draft: Draft) -> None:
    types = draft.get("loss_type")
    types = [str(one) for one in (types if isinstance(types, list) else [types])]
    weights = draft.get("loss_weights") or [1.0] * len(types)
    if not isinstance(weights, list):
        raise draft.wrong("loss_weights", f"expected a list, one for each loss, found {weights!r:.60}; correct it.")
    smoothing = draft.number("label_smoothing") or 0.0
    chosen = [one for one in types if one != "sft"]
    if len(chosen) == 1 and chosen[0] in LOSSES and len(weights) == len(types):
        own, means = LOSSES[chosen[0]]
        if chosen[0] == "sigmoid" and smoothing:
            own = "cdpo"
            draft.note("Older versions of TRL read label_smoothing with loss_type sigmoid (conservative DPO); TRL 1.16 "
                       "does not: there objective.type=dpo without label_smoothing is the same.")  # fmt: skip
        elif own == "robust" and not smoothing:
            own = "dpo"  # which it then is
        draft.put("objective.type", own, "loss_type")
        if means:
            draft.put("objective.length_normalised", True, "loss_type")
        if "sft" in types:
            share = number(weights[types.index("sft")]) / number(weights[types.index(chosen[0])])
            draft.put("objective.sft_weight", share, "loss_type", "loss_weights")
        if own in ("cdpo", "robust"):
            draft.put("objective.label_smoothing", smoothing, "label_smoothing")
    else:
        draft.leave("loss_type", f"strop has {', '.join(LOSSES)}, each alone or with sft; type is dpo here")
    draft.leave("loss_weights", "one loss, and sft_weight beside it, is what strop has")
    if smoothing:
        draft.leave("label_smoothing", "it is read by objective.type cdpo and robust alone")
    draft.needless("label_smoothing", "off, as here")
    draft.put("objective.beta", draft.number("beta"), "beta")
    if draft.get("rpo_alpha"):
        draft.put("objective.sft_weight", draft.number("rpo_alpha"), "rpo_alpha")


def _kto(draft: Draft) -> None:
    draft.put("objective.type", "kto")
    draft.put("objective.beta", draft.number("beta"), "beta")
    for name in ("desirable_weight", "undesirable_weight"):
        draft.put(f"objective.{name}", draft.number(name), name)
    if (loss := draft.get("loss_type")) != "kto":
        draft.leave("loss_type", f"strop has no {loss}; the objective is kto")
    draft.needless("loss_type", "objective.type is kto")


def _orpo(draft: Draft) -> None:
    draft.put("objective.type", "orpo")
    draft.put("objective.beta", draft.number("beta"), "beta")


def _cpo(draft: Draft) -> None:
    """Of its losses strop has SimPO; ``alphapo`` is that without the answers' likelihood."""
    loss = str(draft.get("loss_type"))
    if loss in ("simpo", "alphapo"):
        draft.put("objective.type", "simpo", "loss_type")
    else:
        draft.put("objective.type", "simpo")
        draft.leave("loss_type", f"strop has no {loss} without a reference; type is simpo here (dpo has a reference)")
        if "loss_type" not in draft.given:
            draft.note(f"TRL's CPO has loss_type {loss} by default, which strop has not without a reference: type is "
                       "simpo here; dpo has a reference.")  # fmt: skip
    draft.put("objective.beta", draft.number("beta"), "beta")
    draft.put("objective.gamma", draft.number("simpo_gamma"), "simpo_gamma")
    if loss == "alphapo":
        draft.put("objective.sft_weight", 0.0, "loss_type")
        draft.needless("cpo_alpha", "with alphapo it is 0")
    draft.put("objective.sft_weight", draft.number("cpo_alpha"), "cpo_alpha") if loss != "alphapo" else None
    if draft.number("label_smoothing"):
        draft.leave("label_smoothing", "simpo has none here")
    if draft.number("alpha"):
        draft.leave("alpha", "rewards are log-probabilities here")
    for name in ("label_smoothing", "alpha"):
        draft.needless(name, "off, as here")
