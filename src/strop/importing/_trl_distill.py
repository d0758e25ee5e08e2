"""TRL's distillation: GKD, and the trainer on the student's own answers alone."""

from __future__ import annotations

from typing import Any

from strop.common.errors import InputError
from strop.importing import _transformers
from strop.importing.draft import Draft, Needless, Off, Rules

DISTILL_DEFAULTS: dict[str, dict[str, Any]] = {
    "gkd": {"learning_rate": 2e-5, "temperature": 0.9, "lmbda": 0.5, "beta": 0.5, "max_new_tokens": 128},
    "distillation": {"learning_rate": 1e-6, "temperature": 1.0, "beta": 1.0, "max_completion_length": 512},
}
DISTILL_RULES: Rules = {
    "seq_kd": Off("answers that the teacher samples are a stage of kind sample before this one"),
    "teacher_model_revision": Off("the teacher is loaded as its configuration says", (None, "main")),
    **{
        name: Needless("the answers alone are learnt from, by objective.divergence")
        for name in ("assistant_only_loss", "completion_only_loss", "loss_type")
    },
    "dataset_text_field": Needless("rows are known by their columns"),
    "teacher_model_init_kwargs": Off("the teacher is loaded as its configuration says", (None,)),
}


def distillation(draft: Draft, stage: str) -> None:
    """Teacher, divergence, and whose answers are learnt from. Raises InputError where no teacher is named."""
    if (teacher := draft.get("teacher_model_name_or_path")) is None:
        raise InputError(f"{draft.source}: names no teacher; give it with teacher_model_name_or_path.")
    draft.put("teacher", str(teacher), "teacher_model_name_or_path")
    beta = draft.amount("beta")
    draft.put("objective.divergence", "reverse" if beta > 0.5 else "forward", "beta")
    if beta not in (0, 1):
        draft.note(f"Their divergence (beta {beta:g}) lies between KL(teacher‖student), 0, and KL(student‖teacher), 1; "
                   "strop has these two: objective.divergence.")  # fmt: skip
    temperature = draft.amount("temperature")
    draft.put("objective.temperature", temperature, "temperature")
    if temperature != 1:
        draft.note(f"The loss here is {temperature:g}² times theirs, which does not multiply by the temperature's "
                   "square.")  # fmt: skip
    share, longest = (draft.amount("lmbda"), "max_new_tokens") if stage == "gkd" else (1.0, "max_completion_length")
    draft.put("on_policy", share, *(["lmbda"] if stage == "gkd" else []))
    if share:
        draft.put("rollout.max_tokens", draft.whole(longest), longest)
        draft.put("rollout.temperature", temperature, "temperature")
        _transformers.drop_lora_dropout(draft)
    draft.needless(longest, "the student samples no answers")
    draft.put("chat.train_on", "assistant")
    draft.note("They compare all tokens of the vocabulary; here the teacher's objective.top_k (64) likeliest and the "
               "rest as one.")  # fmt: skip
