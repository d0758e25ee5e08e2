"""verl: Hydra's overrides in a shell script, or its YAML; the trainers of PPO (with GRPO and others) and of SFT.

Checked with verl's own ppo_trainer and sft_trainer configurations of 2025. https://github.com/volcengine/verl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strop.importing import _sources
from strop.importing._trl_rl import epochs_to_steps
from strop.importing._verl_tables import DEFAULTS, NEEDLESS, OFF, RULES
from strop.importing.draft import Draft, Needless, Off, names, number, whole
from strop.importing.programs import Program, register
from strop.importing.reading import Foreign, flattened

_ACTOR, _ROLLOUT, _MODEL = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "actor_rollout_ref.model"
# algorithm.adv_estimator -> preset
_PRESETS = {"gae": "ppo", "grpo": "grpo", "rloo": "rloo", "reinforce_plus_plus": "reinforce"}
_KL = {"kl": "k1", "k1": "k1", "mse": "k2", "k2": "k2", "low_var_kl": "k3", "k3": "k3"}
_REDUCTIONS = {"token-mean": "token_mean", "seq-mean-token-mean": "seq_mean", "seq-mean-token-sum": "seq_sum",
               "seq-mean-token-sum-norm": "constant"}  # fmt: skip
_SCHEDULES = {"constant": "constant", "cosine": "cosine", "wsd": "wsd"}


@register("verl")
class Verl(Program):
    title = "verl"
    commands = ("verl.trainer", "verl/trainer")
    stages = ("sft", "ppo")
    signs = names("data.train_files model.partial_pretrain trainer.default_local_dir algorithm.adv_estimator "
                      "actor_rollout_ref.model.path actor_rollout_ref.rollout.n trainer.n_gpus_per_node "
                      "trainer.experiment_name")  # fmt: skip

    @classmethod
    def settings(cls, foreign: Foreign) -> Mapping[str, Any]:
        return flattened(foreign.given)

    @classmethod
    def stage_of(cls, foreign: Foreign) -> str | None:
        given = cls.settings(foreign)
        if any(name.startswith(("actor_rollout_ref.", "algorithm.", "critic.")) for name in given):
            return "ppo"
        sft = "sft" in foreign.program or any(name.startswith(("model.", "optim.")) for name in given)
        return "sft" if sft else "ppo" if "main_ppo" in foreign.program else None

    @classmethod
    def draft(cls, foreign: Foreign, stage: str) -> Draft:
        given = {name: value for name, value in cls.settings(foreign).items()
                 if not name.startswith("defaults") and not name.endswith("_target_")}  # fmt: skip
        given = {name: value for name, value in given.items() if not _refers(value)}
        draft = Draft(str(foreign.path), given, DEFAULTS[stage], foreign.world)
        draft.put("name", str(draft.get("trainer.experiment_name") or foreign.path.stem), "trainer.experiment_name")
        draft.stage["kind"] = "sft" if stage == "sft" else "rl"
        _data(draft)
        (_sft if stage == "sft" else _ppo)(draft)
        _saving(draft)
        draft.apply(RULES[stage])
        for reason, prefixes in NEEDLESS.items():
            _sweep(draft, prefixes, Needless(reason))
        for reason, prefixes in OFF.items():
            _sweep(draft, prefixes, Off(reason, (None, False, "disable")))
        draft.finish(DEFAULTS["ppo" if stage == "sft" else "sft"])
        return draft


def _refers(value: Any) -> bool:
    """Whether it says what another setting says, as ``${data.max_length}``: then that one counts."""
    return isinstance(value, str) and value.startswith("${") and value.endswith("}") and "." in value


def _sweep(draft: Draft, prefixes: str, rule: Needless | Off) -> None:
    """Settings of whole sections (``x.y.``), and those of a name wherever it stands (``*.z``)."""
    for name in [name for name in draft.given if name not in draft.done]:
        for prefix in prefixes.split():
            if name == prefix or (prefix.endswith(".") and name.startswith(prefix)) or (
                prefix.startswith("*.") and name.rpartition(".")[2] == prefix[2:]
            ):  # fmt: skip
                draft.apply({name: rule})
                break


def _data(draft: Draft) -> None:
    for name, own in (("data.train_files", "data"), ("data.val_files", "eval_data")):
        files = draft.get(name)
        files = files if isinstance(files, list) else [files] if files else []
        if own == "eval_data" and draft.stage["kind"] == "rl":
            draft.leave(name, "evaluations are tasks: evals: {NAME: {task: answers, path: FILE, grader: number}}")
        elif files:
            count = draft.whole("data.train_max_samples" if own == "data" else "data.val_max_samples") or -1
            parts = [_sources.part(str(one), count=count if count > 0 else None) for one in files]
            draft.put(own, parts, name)


def _columns(draft: Draft, columns: dict[str, str]) -> None:
    for own in ("data", "eval_data"):
        for one in draft.stage.get(own, []):
            if columns:
                one["columns"] = columns


def _sft(draft: Draft) -> None:
    model = "model.partial_pretrain" if draft.get("model.partial_pretrain") else "model.path"
    if draft.get(model) is not None:
        draft.put("model", str(draft.get(model)), model)
    if draft.get("data.multiturn.enable"):
        key = draft.get("data.multiturn.messages_key") or draft.get("data.messages_key") or "messages"
        _columns(draft, {} if key == "messages" else {"messages": str(key)})
        for name in ("data.multiturn.enable", "data.multiturn.messages_key", "data.messages_key"):
            draft.needless(name, "rows of messages are known by their columns")
    elif draft.given.get("data.prompt_key") is not None or draft.given.get("data.response_key") is not None:
        keys = ("data.prompt_key", "data.response_key", "data.prompt_dict_keys", "data.response_dict_keys")
        prompt, response = _inside(draft, keys[0], keys[2]), _inside(draft, keys[1], keys[3])
        _columns(draft, {"prompt": prompt, "completion": response})
        for name in keys:
            draft.done.add(name)
            if name in draft.given:
                becomes = {"prompt": prompt, "completion": response}
                draft.mapped.append({"setting": name, "value": draft.given[name], "to": "data.0.columns",
                                     "becomes": becomes, "default": False})  # fmt: skip
    draft.put("chat.train_on", "assistant")
    length = draft.count("data.max_length")
    _lengths(draft, length, "data.max_length")
    per = draft.whole("data.micro_batch_size_per_gpu") or 1
    draft.put("train.micro_batch_tokens", max(2048, per * length), "data.micro_batch_size_per_gpu")
    draft.put("train.global_batch_size", draft.whole("data.train_batch_size"), "data.train_batch_size")
    steps = draft.whole("trainer.total_training_steps")
    if steps and steps > 0:
        draft.put("train.max_steps", steps, "trainer.total_training_steps")
    draft.put("train.epochs", draft.number("trainer.total_epochs"), "trainer.total_epochs")
    betas = draft.get("optim.betas")
    if isinstance(betas, list) and len(betas) == 2:
        draft.put("train.beta1", number(betas[0]), "optim.betas")
        draft.put("train.beta2", number(betas[1]), "optim.betas")
    ratio = draft.number("optim.warmup_steps_ratio") if "optim.warmup_steps_ratio" in draft.given else (
        draft.number("optim.lr_warmup_steps_ratio"))  # fmt: skip
    _warm_up(draft, "optim.lr_warmup_steps", ratio, ("optim.warmup_steps_ratio", "optim.lr_warmup_steps_ratio"))
    _schedule(draft, "optim.lr_scheduler", "optim.min_lr_ratio")
    _lora(draft, "model", 0)


def _inside(draft: Draft, key: str, inner: str) -> str:
    """The path of a column: ``extra_info`` with the key ``question`` in it is ``extra_info.question``."""
    column, keys = str(draft.get(key)), draft.get(inner) if inner in draft.given else None
    keys = keys if isinstance(keys, list) else [keys] if keys else []
    return f"{column}.{keys[0]}" if keys and keys[0] != column else column


def _lengths(draft: Draft, length: int, *names: str) -> None:
    draft.put("chat.max_length", length, *names)
    way = {"error": "error", "right": "truncate"}.get(str(draft.get("data.truncation")))
    if way is None:
        draft.leave("data.truncation", "what is too long is an error, dropped, or loses its end (chat.too_long)")
    draft.put("chat.too_long", way or "error", "data.truncation")


def _ppo(draft: Draft) -> None:
    draft.put("model", str(draft.get(f"{_MODEL}.path")), f"{_MODEL}.path") if draft.get(f"{_MODEL}.path") else None
    group, prompts = draft.whole(f"{_ROLLOUT}.n"), draft.count("data.train_batch_size")
    answer, asked = draft.count("data.max_response_length"), draft.count("data.max_prompt_length")
    draft.put("rollout.group_size", group, f"{_ROLLOUT}.n")
    draft.put("rollout.prompts_per_step", prompts, "data.train_batch_size")
    draft.put("rollout.max_tokens", answer, "data.max_response_length")
    draft.put("rollout.temperature", draft.number(f"{_ROLLOUT}.temperature"), f"{_ROLLOUT}.temperature")
    mini = max(1, prompts // draft.count(f"{_ACTOR}.ppo_mini_batch_size"))  # theirs is in prompts
    draft.put("rollout.mini_batches", mini, f"{_ACTOR}.ppo_mini_batch_size")
    updates = draft.count(f"{_ACTOR}.ppo_epochs")
    draft.put("rollout.updates_per_rollout", updates, f"{_ACTOR}.ppo_epochs")
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
    _lora(draft, _MODEL, 0)
    _warm_up(draft, f"{_ACTOR}.optim.lr_warmup_steps", draft.number(f"{_ACTOR}.optim.lr_warmup_steps_ratio"),
             (f"{_ACTOR}.optim.lr_warmup_steps_ratio",))  # fmt: skip
    old = f"{_ACTOR}.optim.warmup_style"
    course = old if old in draft.given else f"{_ACTOR}.optim.lr_scheduler_type"
    _schedule(draft, course, f"{_ACTOR}.optim.min_lr_ratio")
    steps = draft.whole("trainer.total_training_steps") or -1
    if steps > 0:  # theirs are batches of rollouts
        draft.put("train.max_steps", steps * updates * mini, "trainer.total_training_steps")
        draft.needless("trainer.total_epochs", "total_training_steps decides how long it trains")
    else:
        draft.needless("trainer.total_training_steps", "null, as here")
        epochs_to_steps(draft, draft.amount("trainer.total_epochs"), "trainer.total_epochs", prompts, updates * mini)
    _rewards(draft)


def _objective(draft: Draft) -> None:
    way = str(draft.get("algorithm.adv_estimator"))
    preset = _PRESETS.get(way, "grpo")
    if way in _PRESETS:
        draft.put("objective.preset", preset, "algorithm.adv_estimator")
    else:
        draft.put("objective.preset", preset)
        draft.leave("algorithm.adv_estimator", f"strop has {', '.join(_PRESETS)}; the preset is grpo here")
    if preset == "grpo":
        scaled = draft.flag("algorithm.norm_adv_by_std_in_grpo", True)
        draft.put("objective.advantage_scale", "group_std" if scaled else "none", "algorithm.norm_adv_by_std_in_grpo")
    if preset == "ppo":
        for own, theirs in (("gamma", "algorithm.gamma"), ("gae_lambda", "algorithm.lam"),
                            ("value_clip", "critic.cliprange_value")):  # fmt: skip
            draft.put(f"objective.{own}", draft.number(theirs), theirs)
        if (critic := draft.given.get("critic.model.path")) is not None:
            draft.put("critic", {"model": str(critic)}, "critic.model.path")
        else:
            draft.put("critic", {"separate": True})
    base = draft.number(f"{_ACTOR}.clip_ratio")
    draft.put("objective.clip", "ppo")
    for own in ("low", "high"):
        name = f"{_ACTOR}.clip_ratio_{own}"
        said = draft.given.get(name) is not None
        draft.put(
            f"objective.clip_{own}", draft.number(name) if said else base, name if said else f"{_ACTOR}.clip_ratio"
        )
    if f"{_ACTOR}.clip_ratio_c" in draft.given:
        draft.put("objective.dual_clip", draft.number(f"{_ACTOR}.clip_ratio_c"), f"{_ACTOR}.clip_ratio_c")
    else:
        draft.put("objective.dual_clip", 3.0)
    mode = str(draft.get(f"{_ACTOR}.loss_agg_mode"))
    if mode in _REDUCTIONS:
        draft.put("objective.reduction", _REDUCTIONS[mode], f"{_ACTOR}.loss_agg_mode")
    else:
        draft.leave(f"{_ACTOR}.loss_agg_mode", f"objective.reduction is {', '.join(_REDUCTIONS.values())}")
    loss, in_reward = draft.get(f"{_ACTOR}.use_kl_loss"), draft.get("algorithm.use_kl_in_reward")
    coef, kind, switch = (f"{_ACTOR}.kl_loss_coef", f"{_ACTOR}.kl_loss_type", f"{_ACTOR}.use_kl_loss") if loss else (
        "algorithm.kl_ctrl.kl_coef", "algorithm.kl_penalty", "algorithm.use_kl_in_reward")  # fmt: skip
    if (loss or in_reward) and draft.number(coef):
        estimator = _KL.get(str(draft.get(kind)))
        draft.put("objective.kl_coef", draft.number(coef), coef, switch)
        draft.put("objective.kl_place", "loss" if loss else "reward", switch)
        if estimator is None or (loss and estimator == "k1"):
            draft.leave(kind, "in the loss k2 or k3, in the reward k1, k2 or k3; it is k3 here")
        draft.put("objective.kl_estimator", "k3" if estimator is None or (loss and estimator == "k1") else estimator,
                  kind)  # fmt: skip
    else:
        weight = [coef] if loss or in_reward else []
        draft.put("objective.kl_coef", 0.0, f"{_ACTOR}.use_kl_loss", "algorithm.use_kl_in_reward", *weight)
    for name in (f"{_ACTOR}.kl_loss_coef", f"{_ACTOR}.kl_loss_type", f"{_ACTOR}.use_kl_loss", "algorithm.kl_penalty",
                 "algorithm.kl_ctrl.kl_coef", "algorithm.use_kl_in_reward"):  # fmt: skip
        draft.needless(name, "that divergence is off")
    if draft.number(f"{_ACTOR}.entropy_coeff"):
        draft.put("objective.entropy_coef", draft.number(f"{_ACTOR}.entropy_coeff"), f"{_ACTOR}.entropy_coeff")
    draft.needless(f"{_ACTOR}.entropy_coeff", "off, as here")


def _rewards(draft: Draft) -> None:
    if draft.get("reward_model.enable") and draft.get("reward_model.model.path"):
        draft.put("rewards", {"score": {"kind": "model", "path": str(draft.get("reward_model.model.path"))}},
                  "reward_model.model.path", "reward_model.enable")  # fmt: skip
    draft.needless("reward_model.enable", "a reward model is a part of the reward")
    for name in ("custom_reward_function.path", "custom_reward_function.name", "reward_model.reward_manager"):
        draft.leave(name, "a reward of another program is Python of its own; write it as a function of answers "
                    "(docs/rl.md) and name it in rewards")  # fmt: skip
    if "rewards" not in draft.stage:
        draft.note("Rewards: verl grades by the row's data_source; here an answer is right when it equals "
                   "reward_model.ground_truth. To compare the last number: rewards: {number: {kind: exact, as_number: "
                   "true}}.")  # fmt: skip


def _lora(draft: Draft, section: str, off: int) -> None:
    rank = draft.whole(f"{section}.lora_rank")
    if not rank or rank == off:
        for name in ("lora_rank", "lora_alpha", "target_modules", "exclude_modules"):
            draft.needless(f"{section}.{name}", "lora_rank is 0, so there are no adapters")
        return
    draft.put("lora.r", rank, f"{section}.lora_rank")
    draft.put("lora.alpha", draft.number(f"{section}.lora_alpha"), f"{section}.lora_alpha")
    draft.put("lora.targets", draft.texts(f"{section}.target_modules"), f"{section}.target_modules")


def _warm_up(draft: Draft, steps: str, ratio: float | None, names: tuple[str, ...]) -> None:
    if (count := draft.whole(steps) or -1) > 0:
        draft.put("train.warmup_steps", count, steps)
    else:
        draft.put("train.warmup_ratio", ratio or 0.0, *names)
    for name in (steps, *names):
        draft.needless(name, "off, or another setting goes before it")


def _schedule(draft: Draft, name: str, floor: str) -> None:
    given = str(draft.get(name))
    if given in _SCHEDULES:
        draft.put("train.schedule", _SCHEDULES[given], name)
        if given != "constant":
            draft.put("train.min_lr_ratio", draft.number(floor) or 0.0, floor)
    else:
        draft.leave(name, f"strop has no {given}; train.schedule is constant, linear, cosine or wsd")
    draft.needless(floor, "a constant rate has no floor")


def _saving(draft: Draft) -> None:
    every = draft.whole("trainer.save_freq") or -1
    # Theirs are batches of rollouts, ours optimiser steps.
    each = draft.stage.get("rollout", {})
    times = each.get("updates_per_rollout", 1) * each.get("mini_batches", 1)
    if every > 0:
        draft.put("train.checkpoint_every", every * times, "trainer.save_freq")
    draft.needless("trainer.save_freq", "checkpoints are written every 10 minutes and at the end")
    tests = draft.whole("trainer.test_freq") or -1
    if tests > 0 and "eval_data" in draft.stage:
        draft.put("train.eval_every", tests, "trainer.test_freq")
    elif tests > 0:
        draft.leave(
            "trainer.test_freq", "tasks are measured every train.tasks_every steps, once train.tasks names some"
        )
    draft.needless("trainer.test_freq", "off, as here")
    for name in ("trainer.max_ckpt_to_keep", "trainer.max_actor_ckpt_to_keep"):
        if draft.get(name) is not None:
            draft.put("train.keep_checkpoints", max(1, whole(draft.get(name))), name)
