"""Settings of the policy gradient, and presets: published algorithms as rows of a table. Works without torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from strop.objectives.settings import Reduction

PresetName = Literal["reinforce", "rloo", "grpo", "dr_grpo", "dapo", "gspo", "cispo", "ppo"]
Advantage = Literal["group_mean", "leave_one_out", "batch_mean", "none", "gae"]
Scale = Literal["group_std", "batch_std", "none"]
KLEstimator = Literal["k1", "k2", "k3"]


class Preset(NamedTuple):
    """``paper``: where it comes from; ``differs``: what is its own, in a few words; ``settings``: those it sets."""

    paper: str
    differs: str
    settings: Mapping[str, Any]


_GROUP = {"advantage": "group_mean", "advantage_scale": "group_std"}
_PPO_CLIP = {"clip": "ppo", "clip_low": 0.2, "clip_high": 0.2}

PRESETS: dict[PresetName, Preset] = {
    "reinforce": Preset(
        "Williams 1992, Simple statistical gradient-following algorithms",
        "reward minus the batch's mean; no clipping, no KL",
        {"advantage": "batch_mean", "advantage_scale": "none", "clip": "none", "reduction": "seq_sum"},
    ),
    "rloo": Preset(
        "Ahmadian et al. 2024, Back to basics, arXiv:2402.14740",
        "reward minus the mean of the group's others; KL in the reward; no clipping",
        {
            "advantage": "leave_one_out",
            "advantage_scale": "none",
            "clip": "none",
            "kl_coef": 0.03,
            "kl_place": "reward",
            "kl_estimator": "k1",
            "reduction": "seq_sum",
        },
    ),
    "grpo": Preset(
        "Shao et al. 2024, DeepSeekMath, arXiv:2402.03300",
        "reward minus the group's mean, by its standard deviation; clipping; k3 in the loss; a mean per answer",
        {**_GROUP, **_PPO_CLIP, "kl_coef": 0.04, "kl_place": "loss", "kl_estimator": "k3", "reduction": "seq_mean"},
    ),
    "dr_grpo": Preset(
        "Liu et al. 2025, Understanding R1-Zero-like training, arXiv:2503.20783",
        "GRPO without its biases: no standard deviation, a constant instead of an answer's length; no KL",
        {"advantage": "group_mean", "advantage_scale": "none", **_PPO_CLIP, "reduction": "constant"},
    ),
    "dapo": Preset(
        "Yu et al. 2025, DAPO, arXiv:2503.14476",
        "GRPO with more room above than below, a mean over all tokens, a soft penalty on length; no KL",
        {
            **_GROUP,
            "clip": "ppo",
            "clip_low": 0.2,
            "clip_high": 0.28,
            "reduction": "token_mean",
            "overlong_buffer": 0.2,
        },
    ),
    "gspo": Preset(
        "Zheng et al. 2025, Group sequence policy optimization, arXiv:2507.18071",
        "one ratio per answer, the geometric mean of its tokens', in narrow bounds; no KL",
        {
            **_GROUP,
            "ratio": "sequence",
            "clip": "ppo",
            "clip_low": 3e-4,
            "clip_high": 4e-4,
            "reduction": "seq_mean",
        },
    ),
    "cispo": Preset(
        "MiniMax 2025, MiniMax-M1, arXiv:2506.13585; bound of Khatri et al. 2025, ScaleRL, arXiv:2510.13786",
        "the ratio is a bounded weight without a gradient, so no token is lost; a mean over all tokens; no KL",
        {**_GROUP, "clip": "cispo", "clip_high": 4.0, "reduction": "token_mean"},
    ),
    "ppo": Preset(
        "Schulman et al. 2017, arXiv:1707.06347; for language models Ouyang et al. 2022, arXiv:2203.02155",
        "a value per token, generalised advantages of unit variance, both losses clipped; KL in the reward",
        {
            "advantage": "gae",
            "advantage_scale": "batch_std",
            **_PPO_CLIP,
            "kl_coef": 0.02,
            "kl_place": "reward",
            "kl_estimator": "k1",
            "reduction": "token_mean",
            "gamma": 1.0,
            "gae_lambda": 0.95,
            "value_coef": 0.1,
            "value_clip": 0.2,
        },
    ),
}
"""What a preset does not name has the default of `PolicyGradientSettings`."""


class PolicyGradientSettings(BaseModel):
    """How rewards become a gradient; see `strop.objectives.policy_gradient`.

    ``preset`` fills in what is not given. A setting that nothing would read is refused, unless it came with the preset:
    then it is put back to its default.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    preset: PresetName = Field("grpo", description="Published algorithm whose settings hold where none is given.")

    advantage: Advantage = Field("group_mean", description="What is subtracted from a reward; gae: learnt values.")
    advantage_scale: Scale = Field("none", description="Standard deviation that advantages are divided by.")
    gamma: float = Field(1.0, gt=0, le=1, description="gae: discount per token.")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="gae: 1 is the whole return, 0 the next value alone.")

    ratio: Literal["token", "sequence"] = Field("token", description="Probability ratio to the policy of before.")
    clip: Literal["ppo", "cispo", "none"] = Field(
        "none", description="ppo: no gain beyond the bounds; cispo: the ratio as a bounded weight without a gradient."
    )
    clip_low: float | None = Field(None, ge=0, lt=1, description="The ratio's lower bound is 1 - clip_low; null: none.")
    clip_high: float | None = Field(None, ge=0, description="The ratio's upper bound is 1 + clip_high; null: none.")
    dual_clip: float | None = Field(
        None, gt=1, description="ppo: largest ratio that counts where the advantage is negative (Ye et al. 2020)."
    )

    kl_coef: float = Field(
        0.0, ge=0, description="Weight of the KL divergence to the reference model; 0: no reference."
    )
    kl_place: Literal["loss", "reward"] = Field("loss", description="Where the KL divergence counts.")
    kl_estimator: KLEstimator = Field("k3", description="Per-token estimate; `strop.objectives.kl` has the gradients.")
    kl_weighted: bool = Field(
        False, description="loss: the estimate times the ratio, so that its gradient is the divergence's own."
    )
    kl_target: float | None = Field(
        None, gt=0, description="reward: nats per answer that kl_coef is steered to (Ziegler et al. 2019)."
    )

    reduction: Reduction = Field("token_mean", description="How the losses of tokens become one number.")
    loss_constant: float | None = Field(
        None, gt=0, description="constant: tokens that an answer is divided by; by default the longest answer allowed."
    )
    entropy_coef: float = Field(0.0, ge=0, description="Weight of the entropy, which is to be large.")

    truncated: Literal["mask", "penalise", "keep", "bootstrap"] = Field(
        "keep",
        description="Answers cut off at the longest length; mask: not trained, and in no baseline; bootstrap: gae goes "
        "on with the value after the last token, which is 0 otherwise.",
    )
    truncation_penalty: float = Field(1.0, gt=0, description="penalise: what a cut-off answer's reward loses.")
    overlong_buffer: float | None = Field(
        None, gt=0, le=1, description="Last share of the longest length in which a penalty grows (DAPO's soft one)."
    )
    overlong_penalty: float = Field(1.0, gt=0, description="overlong_buffer: what the longest answer's reward loses.")

    value_coef: float = Field(0.0, ge=0, description="gae: weight of the values' loss.")
    value_clip: float | None = Field(None, gt=0, description="gae: how far a value may move in one batch of rollouts.")

    correction: Literal["auto", "none", "truncate", "mask", "direct"] = Field(
        "auto",
        description="Where other weights or another program sample: an importance weight, trainer over sampler, above "
        "the cap the cap or 0 (mask); direct: the ratio itself is to the sampler. auto: see docs/rl.md.",
    )
    correction_level: Literal["token", "sequence"] = Field("token", description="The weight's level.")
    correction_cap: float = Field(2.0, ge=1, description="Largest importance weight.")

    def decided(self, apart: bool) -> PolicyGradientSettings:
        """With ``correction: auto`` decided. ``apart``: other weights or another program sample than are trained.

        Then it is ``truncate`` (the decoupled objective: Hilton et al. 2022, arXiv:2110.00641; Fu et al. 2025, AReaL,
        arXiv:2505.24298), but ``direct`` with ``clip: cispo``, whose ratio is a bounded importance weight itself
        (ScaleRL). Else it is ``none``.
        """
        if self.correction != "auto":
            return self
        way = ("direct" if self.clip == "cispo" else "truncate") if apart else "none"
        return self.model_copy(update={"correction": way})

    @property
    def uses_reference(self) -> bool:
        """Whether ``ref_logprobs`` are read."""
        return self.kl_coef > 0

    @property
    def uses_values(self) -> bool:
        """Whether the policy needs a head for values; batches then have ``old_values`` and ``returns``."""
        return self.advantage == "gae"

    @property
    def within_groups(self) -> bool:
        """Whether answers are compared within their group, so that one whose rewards are all equal has advantages of 0
        (but for a KL divergence in the reward)."""
        return self.advantage in ("group_mean", "leave_one_out")

    def idle_in_one_update(self) -> list[str]:
        """What is said of the ratio beyond the plain clip, and changes nothing where every row is trained once, by the
        weights that it was measured with: the ratio is 1 then, and values have not moved."""
        if self.correction == "direct":
            return []
        plain = PRESETS["ppo" if self.uses_values else "grpo"].settings
        bounds = ("clip", "clip_low", "clip_high", "dual_clip") if self.clip != "none" else ()
        names = ("ratio", *bounds, "value_clip")
        found = {name: (getattr(self, name), plain.get(name, type(self).model_fields[name].default)) for name in names}
        return [f"{name}: {value}" for name, (value, usual) in found.items() if value not in (usual, None)]

    def check_group_size(self, group_size: int) -> None:
        """Raise ValueError where answers are compared within groups that have one member."""
        if (self.within_groups or self.advantage_scale == "group_std") and group_size < 2:
            raise ValueError(
                f"group_size: {group_size} leaves nothing to compare an answer with, so every advantage would be 0; "
                "sample 2 or more answers per prompt, or set advantage: batch_mean and advantage_scale: none."
            )

    @model_validator(mode="wrap")
    @classmethod
    def _fill_in_the_preset(
        cls, given: Any, handler: ModelWrapValidatorHandler[PolicyGradientSettings]
    ) -> PolicyGradientSettings:
        if not isinstance(given, Mapping):
            return handler(given)
        name = given.get("preset", cls.model_fields["preset"].default)
        preset = PRESETS[name].settings if name in get_args(PresetName) else {}
        made = handler({**preset, **given})
        made._check(given.keys())
        return made

    def _check(self, given: Collection[str]) -> None:
        """Raise ValueError for what contradicts itself, and for what is ``given`` but would not be read; what is not
        read and came with the preset goes back to its default."""
        for read, when, names in _READ_WHEN:
            if read(self):
                continue
            for name in names:
                value, default = getattr(self, name), type(self).model_fields[name].default
                if value != default and name in given:
                    raise ValueError(f"{name} would not be read: set {when}, or leave {name} out.")
                setattr(self, name, default)
        for wrong, sentence in _CONTRADICTIONS:
            if wrong(self):
                raise ValueError(sentence)


Test = Callable[[PolicyGradientSettings], bool]

_READ_WHEN: tuple[tuple[Test, str, tuple[str, ...]], ...] = (
    (
        lambda s: s.advantage == "gae",
        "advantage: gae",
        ("gamma", "gae_lambda", "value_coef", "value_clip"),
    ),
    (lambda s: s.clip != "none", "clip: ppo or cispo", ("clip_low", "clip_high")),
    (lambda s: s.clip == "ppo", "clip: ppo", ("dual_clip",)),
    (
        lambda s: s.kl_coef > 0,
        "kl_coef above 0",
        ("kl_place", "kl_estimator", "kl_weighted", "kl_target"),
    ),
    (lambda s: s.kl_place == "loss", "kl_place: loss", ("kl_weighted",)),
    (lambda s: s.kl_place == "reward", "kl_place: reward", ("kl_target",)),
    (lambda s: s.reduction == "constant", "reduction: constant", ("loss_constant",)),
    (lambda s: s.truncated == "penalise", "truncated: penalise", ("truncation_penalty",)),
    (lambda s: s.overlong_buffer is not None, "overlong_buffer", ("overlong_penalty",)),
    (
        lambda s: s.correction in ("truncate", "mask") or (s.correction == "auto" and s.clip != "cispo"),
        "correction: truncate or mask",
        ("correction_level", "correction_cap"),
    ),
)
"""(whether it holds, how it is said, the settings that are read only then)"""

_CONTRADICTIONS: tuple[tuple[Test, str], ...] = (
    (
        lambda s: s.clip != "none" and s.clip_low is None and s.clip_high is None,
        "clip has neither clip_low nor clip_high: give one of them, or set clip: none.",
    ),
    (
        lambda s: s.advantage == "gae" and not s.value_coef,
        "advantage: gae needs values that are learnt: set value_coef above 0 (ppo has 0.1), or take another advantage.",
    ),
    (
        lambda s: s.truncated == "bootstrap" and s.advantage != "gae",
        "truncated: bootstrap goes on with the value after a cut-off answer, and advantage: gae alone has values: take "
        "keep, mask or penalise, or preset: ppo.",
    ),
    (
        lambda s: s.advantage in ("gae", "batch_mean", "none") and s.advantage_scale == "group_std",
        "advantage_scale: group_std goes with advantages within groups (group_mean, leave_one_out): set batch_std "
        "or none.",
    ),
    (
        lambda s: bool(s.kl_coef) and s.kl_place == "loss" and s.kl_estimator == "k1" and not s.kl_weighted,
        "kl_estimator: k1 in the loss has an expected gradient of 0, so kl_coef would only add noise: take k2 "
        "or k3, or set kl_weighted: true, or kl_place: reward.",
    ),
)
