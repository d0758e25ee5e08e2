"""TRL's trainers of reinforcement learning: GRPO (and the losses that it is given), RLOO and PPO."""

from __future__ import annotations

from typing import Any

from strop.importing import _sources, _transformers
from strop.importing.draft import Draft, Off, Rules, To, number, same
from strop.importing.draft import Needless as NotNeeded

_ONLINE = {"learning_rate": 1e-6, "num_generations": 8, "max_completion_length": 512, "temperature": 1.0,
           "num_iterations": 1, "epsilon": 0.2, "shuffle_dataset": True}  # fmt: skip
RL_DEFAULTS: dict[str, dict[str, Any]] = {
    "grpo": {**_ONLINE, "beta": 0.0, "loss_type": "dapo", "scale_rewards": "group",
             "importance_sampling_level": "token"},
    "rloo": {**_ONLINE, "num_generations": 2, "beta": 0.05},
    "ppo": {"learning_rate": 3e-6, "response_length": 53, "temperature": 0.7, "num_ppo_epochs": 4,
            "num_mini_batches": 1, "kl_coef": 0.05, "kl_estimator": "k1", "cliprange": 0.2, "vf_coef": 0.1,
            "cliprange_value": 0.2, "gamma": 1.0, "lam": 0.95, "reward_model_path": "EleutherAI/pythia-160m"},
}  # fmt: skip
# TRL's loss_type -> the preset that it is the reduction of, and what of the preset is not as there.
_LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "grpo": ("grpo", {}),
    "bnpo": ("grpo", {"reduction": "token_mean"}),
    "dapo": ("dapo", {"overlong_buffer": None}),
    "dr_grpo": ("dr_grpo", {}),
    "cispo": ("cispo", {}),
}
_SCALES = {"group": "group_std", "True": "group_std", "batch": "batch_std", "none": "none", "False": "none"}
_REWARD = (
    "a reward of another program is Python of its own; write it as a function of answers (docs/rl.md) and name it in "
    "rewards"
)

RL_RULES: Rules = {
    **same(
        Off,
        {
            "the sampler draws from the distribution that is trained, so temperature alone may change it": ""
            "generation_kwargs",
            "strop starts a vLLM server or uses a running one: rollout.engine=vllm with vllm.python or vllm.url "
            "(docs/generation.md)": "use_vllm vllm_mode vllm_server_base_url vllm_server_host vllm_server_port "
            "vllm_server_timeout vllm_gpu_memory_utilization vllm_tensor_parallel_size vllm_max_model_length "
            "vllm_model_impl vllm_structured_outputs_regex vllm_group_port vllm_enable_sleep_mode",
            "weights of another sampler are corrected by objective.correction": "vllm_importance_sampling_correction "
            "vllm_importance_sampling_mode vllm_importance_sampling_cap vllm_importance_sampling_clip_max "
            "vllm_importance_sampling_clip_min off_policy_mask_threshold use_bias_correction_kl",
            "is no part of strop's objectives": "sapo_temperature_neg sapo_temperature_pos vespo_k_pos "
            "vespo_lambda_pos vespo_k_neg vespo_lambda_neg use_adaptive_entropy entropy_coef_min entropy_coef_max "
            "entropy_coef_delta entropy_target multi_objective_aggregation normalize_advantages reward_clip_range "
            "whiten_rewards cast_lm_head_to_fp32 num_sample_generations stop_token stop_token_id",
            "tools and turns are an `environment` (docs/rl.md)": "max_tool_calling_iterations",
            "only the whole prompt and answer have a length": "max_prompt_length max_length",
        },
    ),
    **same(
        NotNeeded,
        {
            "answers are in rollouts/ and in the report": "log_completions num_completions_to_print "
            "log_unique_prompts log_multimodal log_completions_hub_repo",
            "memory is used by compute.max_rows and compute.cache_gb": "ds3_gather_for_generation "
            "use_transformers_paged use_transformers_continuous_batching transformers_continuous_batching_config "
            "cache_implementation local_rollout_forward_batch_size",
            "evaluations are tasks (evals, train.tasks)": "num_generations_eval eval_strategy eval_steps "
            "evaluation_strategy load_best_model_at_end metric_for_best_model",
        },
    ),
    "shuffle_dataset": Off(_transformers.SHUFFLED, (None, True)),
    "top_p": Off("the sampler draws from the distribution that is trained", (None, 1, 1.0)),
    "top_k": Off("the sampler draws from the distribution that is trained", (None, 0, -1)),
    "min_p": Off("the sampler draws from the distribution that is trained", (None, 0, 0.0)),
    "repetition_penalty": Off("the sampler draws from the distribution that is trained", (None, 1, 1.0)),
    "top_entropy_quantile": Off("all tokens of an answer are trained", (None, 1, 1.0)),
    "delta": Off("of a ratio that is a bounded weight (cispo) there is no second bound", (None,)),
    "entropy_coef": To("objective.entropy_coef", number, (None, 0, 0.0)),
    "reward_funcs": Off(_REWARD, (None,)),
    "reward_weights": Off(f"{_REWARD}, with its weight", (None,)),
    "stop_token": Off("answers end at the model's own stop tokens and chat.stop_tokens", (None, "eos")),
}


def reinforcement(draft: Draft, stage: str) -> None:
    """Rollouts, objective, rewards and steps of one of TRL's online trainers."""
    if stage == "ppo":
        _ppo(draft)
    else:
        _grpo(draft, stage)
    weights = draft.get("reward_weights")
    if isinstance(weights, list) and all(weight in (1, None) for weight in weights):
        draft.needless("reward_weights", "every part of the reward has weight 1 anyway")
    answer = draft.stage["rollout"]["max_tokens"]
    per = draft.whole("per_device_train_batch_size") or 1
    draft.put("train.micro_batch_tokens", max(2048, per * (answer + 512)))
    if "rewards" not in draft.stage:
        draft.note(
            "Rewards: none of theirs can be carried over, so it is the default of strop: the task's grade, or equality "
            "with the ground truth of a row. Name your own under rewards."
        )


def _grpo(draft: Draft, stage: str) -> None:
    group, world = draft.count("num_generations", 1), draft.world or 1
    per, accumulated = draft.count("per_device_train_batch_size", 1), draft.count("gradient_accumulation_steps", 1)
    generated = draft.whole("generation_batch_size")
    turns = draft.whole("steps_per_generation") or (generated // (per * world) if generated else accumulated)
    generated = generated or _transformers.batch(draft) // accumulated * turns
    prompts, mini = max(1, generated // group), max(1, turns // accumulated)
    updates = draft.count("num_iterations")
    draft.put("rollout.group_size", group, "num_generations")
    draft.put("rollout.prompts_per_step", prompts, "per_device_train_batch_size", "gradient_accumulation_steps",
              "generation_batch_size", "steps_per_generation")  # fmt: skip
    draft.put("rollout.max_tokens", draft.whole("max_completion_length"), "max_completion_length")
    draft.put("rollout.temperature", draft.number("temperature"), "temperature")
    draft.put("rollout.updates_per_rollout", updates, "num_iterations")
    draft.put("rollout.mini_batches", min(mini, prompts), "steps_per_generation")
    if generated % group:
        draft.note(f"Their batch of {generated:,} answers is no multiple of the group of {group}: "
                   f"{prompts} whole groups here.")  # fmt: skip
    {"grpo": _objective, "rloo": _rloo}[stage](draft)
    if (model := draft.get("reward_model_name_or_path")) is not None:
        draft.put("rewards", {"score": {"kind": "model", "path": str(model)}}, "reward_model_name_or_path")
    _steps(draft, prompts, updates * min(mini, prompts))


def _objective(draft: Draft) -> None:
    loss = str(draft.get("loss_type"))
    preset, own = _LOSSES.get(loss, ("grpo", {}))
    if loss in _LOSSES:
        draft.put("objective.preset", preset, "loss_type")
    else:
        draft.put("objective.preset", preset)
        draft.leave("loss_type", f"strop has {', '.join(_LOSSES)}; the preset is grpo here")
    for name, value in own.items():
        draft.put(f"objective.{name}", value)
    low = draft.number("epsilon")
    high = draft.number("epsilon_high")
    if preset == "cispo":  # theirs is the bound itself, ours what it is above 1
        if high is not None:
            draft.put("objective.clip_high", max(0.0, high - 1), "epsilon_high")
        draft.needless("epsilon", "of cispo only the upper bound counts")
    else:
        draft.put("objective.clip_low", low, "epsilon")
        draft.put("objective.clip_high", low if high is None else high, "epsilon_high" if high is not None else
                  "epsilon")  # fmt: skip
        if draft.get("delta") is not None:
            draft.put("objective.dual_clip", draft.number("delta"), "delta")
    scale = str(draft.get("scale_rewards"))
    if scale in _SCALES:
        draft.put("objective.advantage_scale", _SCALES[scale], "scale_rewards")
    else:
        draft.leave("scale_rewards", "advantage_scale is group_std, batch_std or none")
    level = draft.get("importance_sampling_level")
    if level in ("token", "sequence"):
        draft.put("objective.ratio", level, "importance_sampling_level")
    else:
        draft.leave("importance_sampling_level", "objective.ratio is token or sequence")
    beta = draft.number("beta")
    draft.put("objective.kl_coef", beta, "beta")
    if beta:
        draft.put("objective.kl_place", "loss")
        draft.put("objective.kl_estimator", "k3")
    _truncated(draft)


def _truncated(draft: Draft) -> None:
    draft.put("objective.truncated", "mask" if draft.flag("mask_truncated_completions") else "keep",
              "mask_truncated_completions")  # fmt: skip


def _rloo(draft: Draft) -> None:
    draft.put("objective.preset", "rloo")
    draft.put("objective.kl_coef", draft.number("beta"), "beta")
    for name in ("epsilon", "epsilon_high"):
        draft.leave(name, "it bounds the ratio of whole answers; the preset rloo has no clipping")
    _truncated(draft)


def _ppo(draft: Draft) -> None:
    prompts = _transformers.batch(draft)
    updates, mini = draft.count("num_ppo_epochs"), draft.count("num_mini_batches")
    draft.put("rollout.group_size", 1)
    draft.put("rollout.prompts_per_step", prompts, "per_device_train_batch_size", "gradient_accumulation_steps")
    draft.put("rollout.max_tokens", draft.whole("response_length"), "response_length")
    draft.put("rollout.temperature", draft.number("temperature"), "temperature")
    draft.put("rollout.updates_per_rollout", updates, "num_ppo_epochs")
    draft.put("rollout.mini_batches", min(mini, prompts), "num_mini_batches")
    draft.put("objective.preset", "ppo")
    for own, theirs in (("kl_coef", "kl_coef"), ("clip_low", "cliprange"), ("clip_high", "cliprange"),
                        ("value_coef", "vf_coef"), ("value_clip", "cliprange_value"), ("gamma", "gamma"),
                        ("gae_lambda", "lam")):  # fmt: skip
        draft.put(f"objective.{own}", draft.number(theirs), theirs)
    if draft.number("kl_coef"):
        draft.put("objective.kl_estimator", draft.get("kl_estimator"), "kl_estimator")
    draft.needless("kl_estimator", "that divergence is off")
    model = str(draft.get("reward_model_path"))
    draft.put("rewards", {"score": {"kind": "model", "path": model}}, "reward_model_path")
    draft.put("critic", {"model": model}, "reward_model_path")
    if draft.get("missing_eos_penalty") is not None:
        draft.put("objective.truncated", "penalise", "missing_eos_penalty")
        draft.put("objective.truncation_penalty", draft.number("missing_eos_penalty"), "missing_eos_penalty")
    episodes = draft.whole("total_episodes")
    if episodes:
        steps = max(1, episodes // prompts) * updates * mini
        draft.put("train.max_steps", steps, "total_episodes")
        draft.needless("num_train_epochs", "total_episodes decides how long it trains")
        draft.needless("max_steps", "total_episodes decides how long it trains")
    else:
        _steps(draft, prompts, updates * mini)


def _steps(draft: Draft, prompts: int, each: int) -> None:
    """Optimiser steps: as they are given, or of the epochs where the data are here to be counted."""
    given = draft.whole("max_steps") or -1
    if given > 0:
        draft.put("train.max_steps", given, "max_steps")
        draft.needless("num_train_epochs", "max_steps decides how long it trains")
        return
    draft.needless("max_steps", "off, as here")
    epochs_to_steps(draft, draft.amount("num_train_epochs"), "num_train_epochs", prompts, each)


def epochs_to_steps(draft: Draft, epochs: float, name: str, prompts: int, each: int) -> None:
    """``train.max_steps`` of a number of epochs: prompts there are, over those of a batch, by its optimiser steps."""
    rows = _sources.count_rows(draft.stage.get("data") or [{}])
    if rows is None:
        draft.leave(name, "how many steps an epoch has is not known without the data; train.max_steps is 200 here")
        draft.note(f"{draft.called(name)} {epochs:g} is no number of steps while the data are not here: set "
                   f"train.max_steps to (prompts / {prompts}) × {each} × {epochs:g}.")  # fmt: skip
        return
    draft.put("train.max_steps", max(1, round(rows * epochs / prompts * each)), name)
