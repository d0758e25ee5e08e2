"""The verbs that are a recipe of one stage."""

from typing import Any

STAGE_VERBS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "pretrain": ("pretrain", "learn every token of texts, and of conversations", {}),
    "sft": ("sft", "learn to answer as conversations do", {}),
    "dpo": ("preference", "learn from chosen and rejected answers (DPO and its relatives) or labelled ones (KTO)", {}),
    "rm": ("reward_model", "train a model that scores answers, on pairs or on scores", {}),
    "grpo": ("rl", "learn from rewards of the model's own answers, compared within groups", {}),
    "ppo": ("rl", "the same with learnt values (PPO)", {"objective": {"preset": "ppo"}}),
    "distill": ("distill", "learn a teacher's distributions, on the data's answers or on its own", {}),
    "sample": ("sample", "write the model's own graded answers as rows to train on (best of n)", {}),
}
"""By verb: the kind of stage, what it does, and the settings that make it this verb."""
