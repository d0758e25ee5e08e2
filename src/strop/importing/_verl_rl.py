"""verl's trainer of reinforcement learning (``main_ppo`` and DAPO's): rollouts, objective, critic and rewards."""

from __future__ import annotations

from typing import Any

from strop.importing._trl_rl import epochs_to_steps
from strop.importing._verl_train import lora, optimizer, schedule
from strop.importing.draft import Draft, number

_ACTOR, _ROLLOUT, _MODEL = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "actor_rollout_ref.model"
_CORRECTION, _GROUPS = "algorithm.rollout_correction", "algorithm.filter_groups"
# algorithm.adv_estimator -> (preset, what of it is otherwise). masked_whiten: mean 0 and deviation 1 over the batch.
_WHITENED = {"advantage_scale": "batch_std"}
_PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "gae": ("ppo", {}),
    "grpo": ("grpo", {}),
    "grpo_vectorized": ("grpo", {}),
    "rloo": ("rloo", {}),
    "rloo_vectorized": ("rloo", {}),
    "reinforce_plus_plus": ("reinforce", _WHITENED),
    "reinforce_plus_plus_baseline": ("reinforce", {"advantage": "group_mean", **_WHITENED}),
}
_KL = {"kl": "k1", "k1": "k1", "mse": "k2", "k2": "k2", "low_var_kl": "k3", "k3": "k3"}
_REDUCTIONS = {"token-mean": "token_mean", "seq-mean-token-mean": "seq_mean", "seq-mean-token-sum": "seq_sum",
               "seq-mean-token-sum-norm": "constant"}  # fmt: skip
# actor.policy_loss.loss_mode -> what of the objective it decides; the others are told.
_MODES: dict[str, dict[str, Any]] = {
    "vanilla": {"clip": "ppo"},
    "gspo": {"ratio": "sequence", "clip": "ppo", "reduction": "seq_mean"},
    "cispo": {"clip": "cispo"},
}
_OVERLONG = ("reward_model.overlong_buffer", "reward_model.overlong_buffer_cfg",
             "reward_model.reward_kwargs.overlong_buffer_cfg", "reward.reward_kwargs.overlong_buffer_cfg")  # fmt: skip
_LONGEST = ("reward_model.reward_kwargs.max_resp_len", "reward.reward_kwargs.max_resp_len")
_MANAGERS = ("reward_model.reward_manager", "reward.reward_manager.name")
_PYTHON = ("custom_reward_function.path", "custom_reward_function.name", "reward.custom_reward_function.path",
           "reward.custom_reward_function.name")  # fmt: skip


def reinforcement(draft: Draft) -> None:
    """Everything that it trains and how, but data, checkpoints and what the tables have."""
    draft.put("model", str(draft.get(f"{_MODEL}.path")), f"{_MODEL}.path") if draft.get(f"{_MODEL}.path") else None
    group, prompts = draft.count(f"{_ROLLOUT}.n"), draft.count("data.train_batch_size", 1)
    answer, asked = draft.count("data.max_response_length"), draft.count("data.max_prompt_length")
    draft.put("rollout.group_size", group, f"{_ROLLOUT}.n")
    draft.put("rollout.prompts_per_step", prompts, "data.train_batch_size")
    draft.put("rollout.max_tokens", answer, "data.max_response_length")
    draft.put("rollout.temperature", draft.number(f"{_ROLLOUT}.temperature"), f"{_ROLLOUT}.temperature")
    mini = max(1, prompts // draft.count(f"{_ACTOR}.ppo_mini_batch_size", 1))  # theirs is in prompts
    draft.put("rollout.mini_batches", mini, f"{_ACTOR}.ppo_mini_batch_size")
    updates = draft.count(f"{_ACTOR}.ppo_epochs")
    draft.put("rollout.updates_per_rollout", updates, f"{_ACTOR}.ppo_epochs")
    _groups(draft, group)
    if (key := draft.get("data.prompt_key")) != "prompt":
        for one in draft.stage.get("data", []):
            one["prompt"] = str(key)
    draft.needless("data.prompt_key", "as the column is called in data.0.prompt, if it is not `prompt`")
    own = draft.number(f"{_ACTOR}.ppo_max_token_len_per_gpu")
    per = draft.whole(f"{_ACTOR}.ppo_micro_batch_size_per_gpu") or 1
    name = "ppo_max_token_len_per_gpu" if draft.get(f"{_ACTOR}.use_dynamic_bsz") else "ppo_micro_batch_size_per_gpu"
    tokens = int(own) if own and name == "ppo_max_token_len_per_gpu" else per * (asked + answer)
    draft.put("train.micro_batch_tokens", max(2048, tokens), f"{_ACTOR}.{name}")
    draft.leave("data.max_prompt_length", "only prompt and answer together have a length: the model's window")
    draft.leave("data.truncation", "a prompt that is too long is an error")
    _objective(draft)
    _overlong(draft, answer)
    lora(draft, _MODEL)
    optimizer(draft, f"{_ACTOR}.optim")
    schedule(draft, f"{_ACTOR}.optim", "warmup_style")
    steps = draft.whole("trainer.total_training_steps") or -1
    if steps > 0:  # theirs are batches of rollouts
        draft.put("train.max_steps", steps * updates * mini, "trainer.total_training_steps")
        draft.needless("trainer.total_epochs", "total_training_steps decides how long it trains")
    else:
        draft.needless("trainer.total_training_steps", "null, as here")
        epochs_to_steps(draft, draft.amount("trainer.total_epochs"), "trainer.total_epochs", prompts, updates * mini)
    _rewards(draft)


def _groups(draft: Draft, group: int) -> None:
    """DAPO's groups: those without spread are left out, and others are sampled in their place."""
    rest = ("max_num_gen_batches", "metric", "filter_type", "lower_bound", "upper_bound")
    if not draft.flag(f"{_GROUPS}.enable"):
        for name in ("enable", *rest):
            draft.needless(f"{_GROUPS}.{name}", "off, as here")
        return
    if group < 2:
        draft.leave(f"{_GROUPS}.enable", "a group of one answer has no spread")
    elif draft.get("algorithm.adv_estimator") in ("gae", "reinforce_plus_plus"):
        draft.leave(f"{_GROUPS}.enable", "its answers are not compared within groups, so those teach something too")
    elif draft.get(f"{_GROUPS}.filter_type", "same_value") != "same_value":
        draft.leave(
            f"{_GROUPS}.enable", "rollout.no_spread: drop leaves out groups whose rewards are all equal, no other"
        )
    else:
        draft.put("rollout.no_spread", "drop", f"{_GROUPS}.enable")
        most = f"{_GROUPS}.max_num_gen_batches"
        batches = draft.count(most)  # all of a step; refill counts those after the first
        draft.put("rollout.refill", batches - 1 if batches > 0 else 100, most)
        if batches <= 0:
            draft.note(f"{most} {batches} is without an end there; rollout.refill is 100 here.")
        if draft.get(f"{_GROUPS}.metric") not in (None, "seq_reward", "seq_final_reward", "score"):
            draft.leave(f"{_GROUPS}.metric", "groups are told by their rewards")
    draft.needless(f"{_GROUPS}.filter_type", "as here")
    for name in rest:
        draft.needless(f"{_GROUPS}.{name}", "as rollout.no_spread says")


def _overlong(draft: Draft, answer: int) -> None:
    """DAPO's penalty on long answers, whatever the section is called."""
    for section in _OVERLONG:
        if draft.flag(f"{section}.enable") and draft.number(f"{section}.len"):
            longest = next((name for name in _LONGEST if draft.get(name) is not None), None)
            most = draft.count(longest) if longest else answer
            if most != answer:
                draft.note(f"{longest} {most:,} is another length than that of an answer ({answer:,}): the penalty "
                           "here grows up to the latter.")  # fmt: skip
            share = min(1.0, draft.amount(f"{section}.len") / answer)
            draft.put("objective.overlong_buffer", share, f"{section}.len", f"{section}.enable")
            factor = draft.number(f"{section}.penalty_factor")
            draft.put("objective.overlong_penalty", 1.0 if factor is None else factor, f"{section}.penalty_factor")
        for name in ("enable", "len", "penalty_factor"):
            draft.needless(f"{section}.{name}", "off, as here")
        draft.needless(f"{section}.log", "rewards are in metrics.jsonl by their parts")
    for name in _LONGEST:
        draft.needless(name, "rollout.max_tokens is the longest answer")


def _objective(draft: Draft) -> None:
    way = str(draft.get("algorithm.adv_estimator"))
    preset, own = _PRESETS.get(way, ("grpo", {}))
    if way in _PRESETS:
        draft.put("objective.preset", preset, "algorithm.adv_estimator")
    else:
        draft.put("objective.preset", preset)
        draft.leave("algorithm.adv_estimator", f"strop has {', '.join(_PRESETS)}; the preset is grpo here")
    for name, value in own.items():
        draft.put(f"objective.{name}", value, "algorithm.adv_estimator")
    if own:
        draft.note(f"{way}: theirs takes mean and deviation of a batch over its tokens, ours over its answers.")
        if draft.number("algorithm.gamma") != 1:
            draft.leave("algorithm.gamma", "rewards are discounted with gae alone; 1 is as here")
    if preset == "grpo":
        scaled = draft.flag("algorithm.norm_adv_by_std_in_grpo", True)
        draft.put("objective.advantage_scale", "group_std" if scaled else "none", "algorithm.norm_adv_by_std_in_grpo")
    if preset == "ppo":
        _critic(draft)
    for name in ("algorithm.gamma", "algorithm.lam"):
        draft.needless(name, "only gae reads it")
    _surrogate(draft)
    _divergence(draft)
    _correction(draft)
    if draft.number(f"{_ACTOR}.entropy_coeff"):
        draft.put("objective.entropy_coef", draft.number(f"{_ACTOR}.entropy_coeff"), f"{_ACTOR}.entropy_coeff")
    draft.needless(f"{_ACTOR}.entropy_coeff", "off, as here")


def _critic(draft: Draft) -> None:
    """A model of its own, with its own rate."""
    for own, theirs in (("gamma", "algorithm.gamma"), ("gae_lambda", "algorithm.lam"),
                        ("value_clip", "critic.cliprange_value")):  # fmt: skip
        draft.put(f"objective.{own}", draft.number(theirs), theirs)
    if (critic := draft.given.get("critic.model.path")) is not None:
        draft.put("critic", {"model": str(critic)}, "critic.model.path")
    else:
        draft.put("critic", {"separate": True})
    group: dict[str, Any] = {"match": "^critic", "learning_rate": draft.amount("critic.optim.lr")}
    decay, names = draft.number("critic.optim.weight_decay"), ["critic.optim.lr"]
    if decay != draft.number(f"{_ACTOR}.optim.weight_decay"):
        group["weight_decay"] = decay
        names.append("critic.optim.weight_decay")
    draft.put("train.groups", [group], *names)
    draft.needless("critic.optim.weight_decay", "it is that of the policy")


def _surrogate(draft: Draft) -> None:
    """Ratio, clipping and reduction."""
    mode_name, aggregation = f"{_ACTOR}.policy_loss.loss_mode", f"{_ACTOR}.loss_agg_mode"
    mode = str(draft.get(mode_name))
    parts = _MODES.get(mode, _MODES["vanilla"])
    for own, value in parts.items():
        draft.put(f"objective.{own}", value, *([mode_name] if mode in _MODES else []))
    if mode not in _MODES:
        draft.leave(mode_name, f"strop has {', '.join(_MODES)}; it is vanilla here")
    base = draft.number(f"{_ACTOR}.clip_ratio")
    for own in ("low", "high"):
        name = f"{_ACTOR}.clip_ratio_{own}"
        said = draft.given.get(name) is not None
        bound = draft.number(name) if said else base
        bound = None if own == "low" and bound is not None and bound >= 1 else bound  # no ratio is below 0
        draft.put(f"objective.clip_{own}", bound, name if said else f"{_ACTOR}.clip_ratio")
    dual = f"{_ACTOR}.clip_ratio_c"
    if parts == _MODES["vanilla"]:
        draft.put("objective.dual_clip", draft.number(dual), dual)
    draft.needless(dual, f"{mode} does not read it")
    how = str(draft.get(aggregation))
    if "reduction" in parts:
        draft.needless(aggregation, f"{mode} takes a mean per answer, whatever it says")
    elif how in _REDUCTIONS:
        draft.put("objective.reduction", _REDUCTIONS[how], aggregation)
    else:
        draft.leave(aggregation, f"objective.reduction is {', '.join(_REDUCTIONS.values())}")
    factor = f"{_ACTOR}.loss_scale_factor"
    if draft.stage["objective"].get("reduction") == "constant" and draft.number(factor):
        draft.put("objective.loss_constant", draft.number(factor), factor)
    draft.needless(factor, "only seq-mean-token-sum-norm reads it")


def _divergence(draft: Draft) -> None:
    """The KL divergence to the reference, in the loss or in the reward; of both that in the loss."""
    loss, in_reward = draft.get(f"{_ACTOR}.use_kl_loss"), draft.get("algorithm.use_kl_in_reward")
    in_loss, of_reward = draft.number(f"{_ACTOR}.kl_loss_coef"), draft.number("algorithm.kl_ctrl.kl_coef")
    if loss and in_reward and in_loss and of_reward:
        for name in ("use_kl_in_reward", "kl_penalty", *(f"kl_ctrl.{one}" for one in ("kl_coef", "type", "target_kl",
                                                                                      "horizon"))):  # fmt: skip
            draft.leave(f"algorithm.{name}", "strop has one KL divergence, in the loss or in the reward: it is the "
                        "one in the loss (objective.kl_place)")  # fmt: skip
        in_reward = False
    elif loss and in_reward:
        loss, in_reward = bool(in_loss), not in_loss
    coef, kind, switch = (f"{_ACTOR}.kl_loss_coef", f"{_ACTOR}.kl_loss_type", f"{_ACTOR}.use_kl_loss") if loss else (
        "algorithm.kl_ctrl.kl_coef", "algorithm.kl_penalty", "algorithm.use_kl_in_reward")  # fmt: skip
    if (loss or in_reward) and draft.number(coef):
        called = str(draft.get(kind))
        estimator = "k2" if called.endswith("+") else _KL.get(called)  # "+" takes the gradient of k2
        draft.put("objective.kl_coef", draft.number(coef), coef, switch)
        draft.put("objective.kl_place", "loss" if loss else "reward", switch)
        if estimator is None or (loss and estimator == "k1"):
            draft.leave(kind, "in the loss k2 or k3, in the reward k1, k2 or k3; it is k3 here")
        draft.put("objective.kl_estimator", "k3" if estimator is None or (loss and estimator == "k1") else estimator,
                  kind)  # fmt: skip
    else:
        weight = [coef] if loss or in_reward else []
        draft.put("objective.kl_coef", 0.0, f"{_ACTOR}.use_kl_loss", "algorithm.use_kl_in_reward", *weight)
    if in_reward and draft.get("algorithm.kl_ctrl.type") == "adaptive":
        for name in ("type", "target_kl", "horizon"):
            draft.leave(f"algorithm.kl_ctrl.{name}", "objective.kl_target steers kl_coef, and is in nats per answer "
                        "where theirs is per token: target_kl times the mean length of an answer")  # fmt: skip
    for name in ("type", "target_kl", "horizon"):
        draft.needless(f"algorithm.kl_ctrl.{name}", "the coefficient stays as it is")
    for name in (f"{_ACTOR}.kl_loss_coef", f"{_ACTOR}.kl_loss_type", f"{_ACTOR}.use_kl_loss", "algorithm.kl_penalty",
                 "algorithm.kl_ctrl.kl_coef", "algorithm.use_kl_in_reward"):  # fmt: skip
        draft.needless(name, "that divergence is off")


def _correction(draft: Draft) -> None:
    """Importance weights of another sampler: ``rollout_correction``, or the earlier ``tis_imp_ratio_cap``."""
    cap_name, level_name = f"{_CORRECTION}.rollout_is_threshold", f"{_CORRECTION}.rollout_is"
    older, bypass = f"{_ACTOR}.tis_imp_ratio_cap", f"{_CORRECTION}.bypass_mode"
    level, cap = draft.get(level_name), draft.number(older) or 0
    if draft.get(bypass) and draft.get(f"{_CORRECTION}.loss_type", "ppo_clip") == "ppo_clip":
        draft.put("objective.correction", "direct", bypass)
        draft.needless(f"{_CORRECTION}.loss_type", "the ratio is to the sampler, clipped")
        draft.needless(level_name, "the ratio itself is the weight")
    elif level in ("token", "sequence"):
        bounds = str(draft.get(cap_name, 2.0)).split("_")
        draft.put("objective.correction", "mask" if len(bounds) == 2 else "truncate", level_name)
        draft.put("objective.correction_level", level, level_name)
        draft.put("objective.correction_cap", max(1.0, number(bounds[-1])), cap_name)
        if len(bounds) == 2:
            draft.note(f"{cap_name} {'_'.join(bounds)}: weights below {bounds[0]} are left out there, and kept here.")
        for name in (bypass, f"{_CORRECTION}.loss_type"):
            draft.leave(name, "objective.correction is truncate or mask, beside the ratio; or direct, with it")
    elif cap > 0:
        draft.put("objective.correction", "truncate", older)
        draft.put("objective.correction_level", "token", older)
        draft.put("objective.correction_cap", max(1.0, cap), older)
    elif level is not None:
        draft.leave(level_name, "objective.correction_level is token or sequence")
    if draft.get(f"{_CORRECTION}.rollout_rs") is not None:
        for name in ("rollout_rs", "rollout_rs_threshold", "rollout_rs_threshold_lower"):
            draft.leave(f"{_CORRECTION}.{name}", "what is left out is so by one bound: objective.correction=mask")
    draft.needless(older, "off, as here")
    for name in ("rollout_is", "rollout_is_threshold", "rollout_rs", "rollout_rs_threshold", "bypass_mode", "loss_type",
                 "rollout_rs_threshold_lower", "debug_rollout_actor_probs"):  # fmt: skip
        draft.needless(f"{_CORRECTION}.{name}", "off, as here")


def _rewards(draft: Draft) -> None:
    for section, path in (("reward_model", "reward_model.model.path"), ("reward.reward_model",
                          "reward.reward_model.model_path")):  # fmt: skip
        if draft.get(f"{section}.enable") and draft.get(path):
            draft.put("rewards", {"score": {"kind": "model", "path": str(draft.get(path))}}, path, f"{section}.enable")
        draft.needless(f"{section}.enable", "a reward model is a part of the reward")
    for name in _MANAGERS:
        if draft.get(name) in ("naive", "dapo"):
            draft.needless(name, "rewards are graded as `rewards` says")
    for name in (*_PYTHON, *_MANAGERS):
        draft.leave(name, "a reward of another program is Python of its own; write it as a function of answers "
                    "(docs/rl.md) and name it in rewards")  # fmt: skip
    if "rewards" not in draft.stage:
        draft.note("Rewards: verl grades by the row's data_source; here an answer is right when it equals "
                   "reward_model.ground_truth. To compare the last number: rewards: {number: {kind: exact, as_number: "
                   "true}}.")  # fmt: skip
