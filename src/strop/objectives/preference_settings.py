"""Which preference objective, and what it reads; works without torch."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

PreferenceType = Literal["dpo", "cdpo", "robust", "hinge", "ipo", "simpo", "orpo", "kto"]


class Method(NamedTuple):
    """``formula`` of one pair's loss (or one answer's), where it is from, ``beta`` unless another is given, what else
    of the settings it reads, and whether it needs a reference."""

    formula: str
    paper: str
    beta: float
    reads: tuple[str, ...] = ()
    reference: bool = True
    sft_weight: float = 0.0


METHODS: dict[str, Method] = {
    "dpo": Method("-log σ(βd)", "Rafailov et al. 2023, arXiv:2305.18290", 0.1, ("length_normalised",)),
    "cdpo": Method(
        "-(1-ε)·log σ(βd) - ε·log σ(-βd)",
        "Mitchell 2023, A note on DPO with noisy preferences (conservative DPO)",
        0.1,
        ("length_normalised", "label_smoothing"),
    ),
    "robust": Method(
        "[-(1-ε)·log σ(βd) + ε·log σ(-βd)] / (1-2ε)",
        "Chowdhury et al. 2024, arXiv:2403.00409 (robust DPO)",
        0.1,
        ("length_normalised", "label_smoothing"),
    ),
    "hinge": Method("max(0, 1 - βd)", "Zhao et al. 2023, arXiv:2305.10425 (SLiC-HF)", 0.1, ("length_normalised",)),
    "ipo": Method("(d - 1/(2β))²", "Azar et al. 2023, arXiv:2310.12036", 0.1, ("length_normalised",)),
    "simpo": Method("-log σ(β(p_c - p_r) - γ)", "Meng et al. 2024, arXiv:2405.14734", 2.0, ("gamma",), False),
    "orpo": Method("-β·log σ(o_c - o_r)", "Hong et al. 2024, arXiv:2403.07691 (β is its λ)", 0.1, (), False, 1.0),
    "kto": Method(
        "λ_D·(1 - σ(β(r - z))) where wanted, λ_U·(1 - σ(β(z - r))) where not",
        "Ethayarajh et al. 2024, arXiv:2402.01306",
        0.1,
        ("desirable_weight", "undesirable_weight"),
    ),
}
"""With ``r = Σ log π(y) - Σ log π_ref(y)`` over an answer's trained tokens (``length_normalised``: their mean), ``d``
the chosen one's less the rejected one's; ``p`` the mean of log π(y) over the answer's tokens; ``o = p - log(1 - e^p)``;
``z`` the mean of ``r`` over mismatched answers of the step, at least 0."""


class PreferenceLossSettings(BaseModel):
    """What a preference stage minimises; see `METHODS` and `strop.objectives.preference`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    type: PreferenceType = Field(
        "dpo", description="Of pairs dpo, cdpo, robust, hinge, ipo, simpo, orpo; of labels kto."
    )
    beta: float | None = Field(None, gt=0, description="Scale of the rewards: simpo 2, the others 0.1 by default.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="cdpo, robust: the share of pairs that are labelled the wrong way round."
    )
    gamma: float = Field(1.0, ge=0, description="simpo: the margin that a chosen answer's reward is to have.")
    length_normalised: bool = Field(False, description="Means over an answer's tokens instead of sums.")
    desirable_weight: float = Field(1.0, gt=0, description="kto: weight of the wanted answers (λ_D).")
    undesirable_weight: float = Field(1.0, gt=0, description="kto: weight of the others (λ_U).")
    sft_weight: float | None = Field(
        None, ge=0, description="Weight of -log π per token of the chosen (wanted) answers: orpo 1, the others 0."
    )

    @model_validator(mode="after")
    def _is_read(self) -> PreferenceLossSettings:
        """A setting that nothing would read is a mistake."""
        for name in ("label_smoothing", "gamma", "length_normalised", "desirable_weight", "undesirable_weight"):
            if name not in self.method.reads and getattr(self, name) != type(self).model_fields[name].default:
                of = ", ".join(kind for kind in get_args(PreferenceType) if name in METHODS[kind].reads)
                raise ValueError(f"{name} would not be read by type: {self.type}; it is for {of}.")
        if "label_smoothing" in self.method.reads and self.label_smoothing == 0:
            raise ValueError(f"type: {self.type} needs label_smoothing above 0 (0.1, say); without it, it is dpo.")
        return self

    @property
    def method(self) -> Method:
        return METHODS[self.type]

    @property
    def scale(self) -> float:
        """``beta``, or the method's own."""
        return self.method.beta if self.beta is None else self.beta

    @property
    def sft_share(self) -> float:
        """``sft_weight``, or the method's own."""
        return self.method.sft_weight if self.sft_weight is None else self.sft_weight


class RewardLossSettings(BaseModel):
    """What a reward model minimises; see `strop.objectives.reward_model`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    type: Literal["bradley_terry", "regression"] = Field(
        "bradley_terry",
        description="bradley_terry: pairs, with the row's margin where it has one; regression: the row's score.",
    )
