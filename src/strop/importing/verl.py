"""verl: Hydra's overrides in a shell script, or its YAML; the trainers of PPO (with GRPO and others) and of SFT.

Checked with verl's own ppo_trainer, sft_trainer (2025) and sft_trainer_engine (2026) configurations.
https://github.com/verl-project/verl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strop.importing import _sources
from strop.importing._verl_rl import reinforcement
from strop.importing._verl_tables import DEFAULTS, NEEDLESS, NEUTRAL, OFF, RULES
from strop.importing._verl_train import lengths, lora, optimizer, saving, schedule
from strop.importing.draft import Draft, Needless, Off, names
from strop.importing.programs import Program, register
from strop.importing.reading import Foreign, flattened


@register("verl")
class Verl(Program):
    title = "verl"
    commands = ("verl.trainer", "verl/trainer")
    beside = names("main_eval main_generation main_generation_server")
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
        defaults = DEFAULTS["old sft" if stage == "sft" and _is_old(foreign, given) else stage]
        draft = Draft(str(foreign.path), given, defaults, foreign.world, words=foreign.words)
        draft.put("name", draft.text("trainer.experiment_name") or foreign.path.stem, "trainer.experiment_name")
        draft.stage["kind"] = "sft" if stage == "sft" else "rl"
        _data(draft)
        (_sft if stage == "sft" else reinforcement)(draft)
        saving(draft)
        draft.apply(RULES[stage])
        draft.apply({name: Off(reason, neutral) for name, (reason, neutral) in NEUTRAL.items() if name in given})
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
    for name, own, limit in (("data.train_files", "data", "data.train_max_samples"),
                             ("data.val_files", "eval_data", "data.val_max_samples")):  # fmt: skip
        files = draft.get(name)
        files = files if isinstance(files, list) else [files] if files else []
        if own == "eval_data" and draft.stage["kind"] == "rl":
            draft.leave(name, "evaluations are tasks: evals: {NAME: {task: answers, path: FILE, grader: number}}")
        elif files:
            count = draft.whole(limit) or -1
            if count > 0 and len(files) > 1:
                draft.leave(limit, "theirs limits all files together; here each has a `count` of its own, and all rows "
                            "are taken: set data.0.count and so on")  # fmt: skip
            elif count > 0:
                draft.put(own, [_sources.part(str(files[0]), count=count)], name, limit)
                draft.note(f"{limit} takes rows drawn at random where data are shuffled; here the first {count:,}.")
                continue
            draft.needless(limit, "off, as here")
            draft.put(own, [_sources.part(str(one)) for one in files], name)


def _columns(draft: Draft, columns: dict[str, str]) -> None:
    for own in ("data", "eval_data"):
        for one in draft.stage.get(own, []):
            if columns:
                one["columns"] = columns


def _is_old(foreign: Foreign, given: Mapping[str, Any]) -> bool:
    """Whether it is the SFT trainer that verl had until 2025 (``fsdp_sft_trainer``), whose defaults are others."""
    own = ("model.partial_pretrain", "data.prompt_key", "data.response_key", "data.multiturn.enable")
    if "sft_trainer" in foreign.program:
        return "fsdp_sft_trainer" in foreign.program
    return any(name in given for name in own) or "optim.lr_scheduler" in given


def _sft(draft: Draft) -> None:
    model = "model.partial_pretrain" if draft.get("model.partial_pretrain") else "model.path"
    if draft.get(model) is not None:
        draft.put("model", str(draft.get(model)), model)
    if draft.get("data.multiturn.enable") or draft.defaults.get("data.messages_key"):
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
    lengths(draft, length, "data.max_length")
    per, dynamic = draft.whole("data.micro_batch_size_per_gpu") or 1, draft.get("data.use_dynamic_bsz")
    name = "data.max_token_len_per_gpu" if dynamic else "data.micro_batch_size_per_gpu"
    draft.put("train.micro_batch_tokens", max(2048, draft.count(name) if dynamic else per * length), name)
    draft.put("train.global_batch_size", draft.whole("data.train_batch_size"), "data.train_batch_size")
    steps = draft.whole("trainer.total_training_steps")
    if steps and steps > 0:
        draft.put("train.max_steps", steps, "trainer.total_training_steps")
    draft.put("train.epochs", draft.number("trainer.total_epochs"), "trainer.total_epochs")
    optimizer(draft, "optim", "warmup_steps_ratio", "lr_warmup_steps_ratio")
    schedule(draft, "optim", "lr_scheduler", "warmup_style")
    lora(draft, "model")


def _inside(draft: Draft, key: str, inner: str) -> str:
    """The path of a column: ``extra_info`` with the key ``question`` in it is ``extra_info.question``."""
    column, keys = str(draft.get(key)), draft.get(inner) if inner in draft.given else None
    keys = keys if isinstance(keys, list) else [keys] if keys else []
    return f"{column}.{keys[0]}" if keys and keys[0] != column else column
