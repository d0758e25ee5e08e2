"""``strop import``: what configurations of four other programs become, and that nothing of them is lost in silence."""

import json
from pathlib import Path

import pytest

from strop.common.errors import InputError
from strop.config.recipe import Recipe, load_recipe
from strop.importing import (
    _axolotl_tables,
    _llamafactory_tables,
    _transformers,
    _trl_distill,
    _trl_names,
    _trl_rl,
    _verl_tables,
    trl,
)
from strop.importing.draft import OF_RECIPE, Draft, To
from strop.model.settings import LoraSettings
from strop.stages.base import STAGES


def train(done, *names):
    return tuple(done.stage["train"][name] for name in names)


TRL_SCRIPT = """\
#!/bin/bash
MODEL=org/base   # a comment
accelerate launch --config_file zero.yaml --num_processes 4 trl/scripts/sft.py \\
    --model_name_or_path $MODEL --dataset_name chat.jsonl --learning_rate 2e-4 \\
    --per_device_train_batch_size 2 --gradient_accumulation_steps 8 --max_length 2048 \\
    --use_peft --lora_r 32 --lora_target_modules q_proj v_proj --assistant_only_loss \\
    --lr_scheduler_type cosine --warmup_ratio 0.1 --adam_beta2 0.95 --packing \\
    --output_dir $WHERE --learnin_rate 3 --logging_steps 10
"""


def test_a_command_line_of_trl(convert):
    done = convert("sft.sh", TRL_SCRIPT)
    assert done.code == 0, done.err
    assert done.recipe["model"] == "org/base"
    assert done.recipe["chat"] == {"max_length": 2048, "too_long": "truncate", "train_on": "assistant"}
    assert done.stage["data"] == [{"path": "chat.jsonl"}]
    assert train(done, "global_batch_size", "learning_rate", "beta2", "schedule", "warmup_ratio") == (
        *(2 * 8 * 4, 2e-4, 0.95),
        *("cosine", 0.1),
    )
    # What TRL has by default is written out where strop's own is another.
    assert train(done, "epochs", "seed", "min_lr_ratio", "beta1") == (3.0, 42, 0.0, 0.9)
    assert done.stage["lora"] == {"targets": ["q_proj", "v_proj"], "r": 32, "alpha": 32.0, "dropout": 0.05}
    assert "did you mean learning_rate?" in done.unmapped["learnin_rate"]
    assert "shell variable" in done.unmapped["output_dir"]
    assert "launcher" in done.unmapped["config_file"]
    assert any("packed rows" in note for note in done.account["notes"])
    load_recipe(Path("recipe.yaml"))
    assert "#   learnin_rate: 3 (is no setting" in Path("recipe.yaml").read_text()


def test_every_given_setting_is_in_one_of_the_lists(convert):
    done = convert("sft.sh", TRL_SCRIPT)
    told = [one["setting"] for part in ("mapped", "unmapped", "not_needed") for one in done.account[part]]
    told = {name for setting in told for name in setting.split(", ")}
    given = {word[2:] for word in TRL_SCRIPT.split() if word.startswith("--")}
    assert given <= told


@pytest.mark.parametrize(
    ("own", "trained"),
    [({}, "all"), ({"assistant_only_loss": True}, "assistant"), ({"completion_only_loss": False}, "all")],
)
def test_trl_trains_every_token_of_messages_unless_it_is_told_otherwise(convert, own, trained):
    given = {"model_name_or_path": "a/b", "dataset_name": "chat.jsonl", "dataset_train_split": "train", **own}
    assert convert("sft.yaml", given).recipe["chat"]["train_on"] == trained


def test_grpo_of_trl(convert):
    done = convert("x.yaml", {
        "model_name_or_path": "a/b", "dataset_name": "train.parquet", "num_generations": 8, "beta": 0.01,
        "per_device_train_batch_size": 8, "gradient_accumulation_steps": 4, "steps_per_generation": 8,
        "num_iterations": 2, "epsilon": 0.1, "epsilon_high": 0.3, "loss_type": "bnpo", "scale_rewards": False,
        "max_completion_length": 99, "reward_funcs": ["mine.length"], "temperature": 0.9, "num_train_epochs": 2,
        "top_p": 0.9, "mask_truncated_completions": True, "use_peft": True, "lora_dropout": 0.1,
    })  # fmt: skip
    assert done.code == 0, done.err
    # 8 × 8 answers are sampled at once: 8 groups, trained on in two steps of 8 × 4 answers.
    assert done.stage["rollout"] == {
        "group_size": 8,
        "prompts_per_step": 8,
        "max_tokens": 99,
        "temperature": 0.9,
        "updates_per_rollout": 2,
        "mini_batches": 2,
    }
    wanted = {"preset": "grpo", "reduction": "token_mean", "clip_low": 0.1, "clip_high": 0.3, "kl_coef": 0.01}
    wanted |= {"advantage_scale": "none", "truncated": "mask", "ratio": "token"}
    assert done.stage["objective"].items() >= wanted.items()
    assert train(done, "max_steps") == (32 * 2 // 8 * 2 * 2,)  # batches of prompts in two epochs, by steps of each
    assert done.unmapped.keys() == {"reward_funcs", "top_p", "lora_dropout"}
    assert "dropout" not in done.stage["lora"]


@pytest.mark.parametrize(
    ("loss", "means"), [("ipo", True), ("sigmoid", False), ("hinge", False), ("simpo", False), ("orpo", False)]
)
def test_of_the_preference_losses_of_llama_factory_ipo_takes_means(convert, tmp_path, loss, means):
    (tmp_path / "dataset_info.json").write_text(json.dumps(INFO))
    given = {"model_name_or_path": "a/b", "stage": "dpo", "dataset": "mine", "pref_loss": loss}
    done = convert("x.yaml", given, "--from", "llamafactory")
    assert done.code == 0, done.err
    assert done.stage["objective"].get("length_normalised", False) == means


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({"loss_type": "ipo", "beta": 0.2}, {"type": "ipo", "beta": 0.2, "length_normalised": True}),
        ({"label_smoothing": 0.1}, {"type": "cdpo", "label_smoothing": 0.1, "beta": 0.1}),
        ({"loss_type": ["sigmoid", "sft"], "loss_weights": [2.0, 1.0]}, {"type": "dpo", "sft_weight": 0.5}),
    ],
)
def test_dpo_of_trl(convert, own, wanted):
    done = convert("dpo.yaml", {"model_name_or_path": "a/b", "dataset_name": "org/pairs", **own})
    assert done.code == 0, done.err
    assert done.stage["objective"].items() >= wanted.items()
    assert train(done, "learning_rate", "global_batch_size", "micro_batch_tokens") == (1e-6, 8, 8 * 2 * 1024)


LLAMA_FACTORY = {
    "model_name_or_path": "org/base", "stage": "sft", "do_train": True, "finetuning_type": "lora", "lora_rank": 4,
    "lora_target": "all", "dataset": "mine,other", "template": "llama3", "cutoff_len": 1024, "max_samples": 3,
    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8, "learning_rate": "1.0e-4", "bf16": True,
    "num_train_epochs": 2.0, "lr_scheduler_type": "cosine", "val_size": 0.1, "eval_strategy": "steps",
    "eval_steps": 50, "mask_history": True, "plot_loss": True, "lora_rnk": 2,
}  # fmt: skip
INFO = {
    "mine": {"file_name": "chat.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"},
             "tags": {"role_tag": "role", "content_tag": "content"}},
    "other": {"hf_hub_url": "org/alpaca", "subset": "en", "columns": {"prompt": "q", "response": "a", "images": "i"}},
}  # fmt: skip


def test_llama_factory(convert, tmp_path):
    (tmp_path / "dataset_info.json").write_text(json.dumps(INFO))
    done = convert("lora.yaml", LLAMA_FACTORY)
    assert done.code == 0, done.err
    assert done.stage["data"] == [
        {"path": "chat.jsonl", "count": 3},
        {"hub": "org/alpaca", "subset": "en", "columns": {"instruction": "q", "output": "a"}, "count": 3},
    ]
    assert done.stage["lora"] == {"r": 4, "alpha": 8, "targets": ["all-linear"]}
    assert done.stage["eval_data"] == {"fraction": 0.1}
    assert train(done, "eval_every", "global_batch_size", "learning_rate", "epochs") == (50, 8, 1e-4, 2.0)
    assert done.recipe["chat"] == {"max_length": 1024, "too_long": "truncate", "train_on": "last"}
    assert done.recipe["compute"] == {"dtype": "bfloat16"}
    assert done.unmapped.keys() == {"template", "lora_rnk", "dataset_info.json: other.columns.images"}


TABLES = [
    *(_transformers.RULES, _transformers.SFT_RULES, _trl_rl.RL_RULES, trl._RULES, trl._LORA),
    *(_trl_distill.DISTILL_RULES, _trl_names.PEFT_RULES),
    *(_llamafactory_tables.RULES, _axolotl_tables.RULES, *_verl_tables.RULES.values()),
]


def test_every_target_of_the_tables_is_a_setting():
    kinds = [kind.model_fields for kind in STAGES.values()]
    for target in {rule.target for table in TABLES for rule in table.values() if isinstance(rule, To)}:
        first, _, last = target.partition(".")
        fields = [Recipe.model_fields] if first in OF_RECIPE else kinds
        assert any(first in one for one in fields), target
        settings = [one[first].default_factory or LoraSettings for one in fields if first in one]
        assert not last or any(last in one.model_fields for one in settings), target


AXOLOTL = {
    "base_model": "org/base", "load_in_4bit": True, "adapter": "qlora", "sequence_len": 2048, "sample_packing": True,
    "datasets": [
        {"path": "org/alpaca", "type": "alpaca", "split": "train[:5%]"},
        {"path": "chat.jsonl", "type": "chat_template", "train_on_eos": "last"},
        {"path": "org/mine", "type": {"field_instruction": "q", "field_output": "a", "format": "[INST] {instruction}"}},
    ],
    "val_set_size": 0.05, "lora_r": 16, "lora_alpha": 8, "lora_target_linear": True, "micro_batch_size": 2,
    "gradient_accumulation_steps": 4, "num_epochs": 2, "optimizer": "adamw_bnb_8bit", "lr_scheduler": "cosine",
    "cosine_min_lr_ratio": 0.2, "learning_rate": "2e-4", "warmup_steps": 10, "saves_per_epoch": 1,
    "train_on_inputs": True, "special_tokens": {"pad_token": "<x>"}, "flash_attention": True, "wandb_project": None,
}  # fmt: skip


def test_axolotl(convert):
    done = convert("q.yml", AXOLOTL)
    assert done.code == 0, done.err
    assert done.stage["data"] == [
        {"hub": "org/alpaca", "split": "train[:5%]", "format": "alpaca"},
        {"path": "chat.jsonl"},
        {"hub": "org/mine", "columns": {"instruction": "q", "output": "a"}},
    ]
    assert done.stage["lora"].items() >= {"r": 16, "alpha": 8.0, "quantize": "4bit"}.items()
    assert train(done, "global_batch_size", "optimizer", "min_lr_ratio", "warmup_steps", "learning_rate") == (
        *(8, "adamw_8bit"),
        *(0.2, 10, 2e-4),
    )
    assert done.recipe["chat"]["train_on"] == "all"
    assert train(done, "checkpoint_every") == ("auto",)  # also at each epoch's end
    assert done.unmapped.keys() == {"datasets.1.train_on_eos", "datasets.2.type", "special_tokens"}


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({"rl": "simpo", "rl_beta": 2.5, "simpo_gamma": 0.7}, {"type": "simpo", "beta": 2.5, "gamma": 0.7}),
        ({"rl": "kto", "kto_desirable_weight": 0.2}, {"type": "kto", "desirable_weight": 0.2}),
        ({"rl": "orpo", "orpo_alpha": 0.3}, {"type": "orpo", "beta": 0.3}),
    ],
)
def test_preferences_of_axolotl(convert, own, wanted):
    given = {"base_model": "a/b", "datasets": [{"path": "org/pairs", "type": "chatml.intel"}], "learning_rate": 1e-6}
    done = convert("p.yaml", {**given, **own})
    assert done.code == 0, done.err
    assert done.stage["objective"].items() >= wanted.items()


VERL = """\
set -x
N=5
python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo \\
    data.train_files=train.parquet data.train_batch_size=16 data.max_prompt_length=64 data.max_response_length=128 \\
    actor_rollout_ref.model.path=org/base actor_rollout_ref.actor.optim.lr=2e-6 \\
    actor_rollout_ref.actor.ppo_mini_batch_size=4 actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=2 \\
    actor_rollout_ref.actor.use_kl_loss=True actor_rollout_ref.actor.kl_loss_coef=0.002 \\
    actor_rollout_ref.actor.clip_ratio_high=0.28 actor_rollout_ref.rollout.n=$N \\
    actor_rollout_ref.rollout.name=vllm +algorithm.filter_groups.enable=True trainer.save_freq=5 \\
    trainer.total_epochs=3 trainer.experiment_name=sums trainer.n_gpus_per_node=8 trainer.total_epoch=2 $@
"""


def test_rl_of_verl(convert):
    done = convert("run.sh", VERL)
    assert done.code == 0, done.err
    assert done.recipe["name"] == "sums"
    assert done.stage["rollout"] == {
        "group_size": 5,
        "prompts_per_step": 16,
        "max_tokens": 128,
        "temperature": 1.0,
        "mini_batches": 4,
        "updates_per_rollout": 1,
        "no_spread": "drop",
        "refill": 9,
    }
    wanted = {"preset": "grpo", "clip_low": 0.2, "clip_high": 0.28, "dual_clip": 3.0, "reduction": "token_mean"}
    wanted |= {"kl_coef": 0.002, "kl_place": "loss", "kl_estimator": "k3"}
    assert done.stage["objective"].items() >= wanted.items()
    # Theirs count batches of rollouts, ours optimiser steps: four of each batch.
    assert train(done, "max_steps", "checkpoint_every", "learning_rate") == (32 * 3 // 16 * 4, 5 * 4, 2e-6)
    assert "did you mean trainer.total_epochs?" in done.unmapped["trainer.total_epoch"]
    assert train(done, "beta1", "beta2") == (0.9, 0.999)  # of torch's AdamW, where strop's beta2 is 0.95


def test_a_divergence_of_weight_zero_brings_no_settings_of_it(convert):
    """They would not be read, which strop refuses."""
    done = convert("run.sh", VERL.replace("kl_loss_coef=0.002", "kl_loss_coef=0"))
    assert done.code == 0, done.err
    assert done.stage["objective"]["kl_coef"] == 0
    assert not {"kl_place", "kl_estimator"} & done.stage["objective"].keys()
    given = {"kl_coef": 0.0, "kl_estimator": "k1", "cliprange": 0.1, "reward_model_path": "rm", "total_episodes": 640}
    done = convert("ppo.yaml", {**given, "model_name_or_path": "a/b", "dataset_name": "train.parquet"}, "--fresh")
    assert done.code == 0, done.err
    assert done.stage["objective"].items() >= {"preset": "ppo", "kl_coef": 0, "clip_low": 0.1}.items()
    assert "kl_estimator" not in done.stage["objective"]


def test_sft_of_verl(convert):
    done = convert("sft.sh", "torchrun --nproc_per_node=8 -m verl.trainer.fsdp_sft_trainer "
                   "data.train_files=train.parquet data.prompt_key=extra_info data.response_key=extra_info "
                   "data.prompt_dict_keys=['question'] "
                   "+data.response_dict_keys=['answer'] model.partial_pretrain=org/base optim.lr=1e-4 "
                   "data.train_batch_size=64 model.lora_rank=8 data.truncation=right")  # fmt: skip
    assert done.code == 0, done.err
    columns = {"prompt": "extra_info.question", "completion": "extra_info.answer"}
    assert done.stage["data"] == [{"path": "train.parquet", "columns": columns}]
    assert train(done, "global_batch_size", "learning_rate", "epochs", "beta2") == (64, 1e-4, 4, 0.95)
    assert done.recipe["chat"]["too_long"] == "truncate"
    assert done.unmapped == {}


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ({"a": 1}, (), "none of its settings (a) tells which program it is for; say --from"),
        ("", (), "holds nothing"),
        (
            {"base_model": "a", "finetuning_type": "full"},
            (),
            "may be for axolotl or llamafactory; say which with --from",
        ),
        (
            {"dataset_name": "a/b", "model_name_or_path": "c/d"},
            (),
            "does not tell what is trained; say --from with one of",
        ),
        ({"dataset_name": "a/b"}, ("--from", "trl:sft"), "names no model; give it with model=FOLDER"),
        ({"model_name_or_path": "a"}, ("--from", "trl:sft"), "names no data; give them with stages.sft.data="),
        (
            {"dataset_name": "no.jsonl", "model_name_or_path": "a", "packing": True},
            (),
            "its data no.jsonl are not there",
        ),
        (
            {
                "model_name_or_path": "a",
                "assistant_only_loss": True,
                "datasets": [{"path": p} for p in ("chat.jsonl", "no.jsonl", "a/b", "nor.json")],
            },
            ("--from", "trl:sft"),
            "no.jsonl, nor.json are not there; put them there, or say where they are with "
            "stages.sft.data.1.path=FILE stages.sft.data.3.path=FILE.",
        ),
        (
            {"base_model": "a", "datasets": ["a/b"], "test_datasets": ["chat.jsonl", "no.jsonl"]},
            (),
            "or say where they are with stages.sft.eval_data.1.path=FILE.",
        ),
        (
            {
                "model_name_or_path": "a",
                "dataset": "one,two",
                "dataset_dir": "more",
                "interleave_probs": "0.5,0.5",
                "mix_strategy": "interleave_under",
            },
            ("--from", "llamafactory"),
            "or say where they are with stages.sft.data.parts.1.path=FILE.",
        ),
        (
            {
                "actor_rollout_ref.model.path": "a",
                "actor_rollout_ref.rollout.n": 4,
                "algorithm.adv_estimator": "grpo",
                "data.train_files": ["train.parquet", "no.parquet"],
            },
            (),
            "or say where they are with stages.ppo.data.1.path=FILE.",
        ),
        ({"dataset_name": "a/b", "packing": True, "learning_rate": "fast"}, (), "learning_rate: expected a number"),
        ({"dataset_name": "a/b", "packing": True}, ("model=a", "chat.max_lenght=3"), "chat.max_lenght"),
        ({"a": 1}, ("--from", "tlr"), "there is no program 'tlr'; known: axolotl, llamafactory, trl, verl"),
        (
            {"dataset_name": "a/b", "packing": True, "seed": float("inf")},
            (),
            "seed: expected a finite number, found inf",
        ),
        (
            {"dataset_name": "a/b", "packing": True, "max_steps": float("nan")},
            (),
            "max_steps: expected a finite number",
        ),
        (
            {"base_model": "a/b", "datasets": ["a/c"], "test_datasets": True},
            (),
            "test_datasets: expected a list of data",
        ),
        (
            {"dataset_name": "a/b", "num_generations": 0, "beta": 0.1},
            (),
            "num_generations: expected at least 1, found 0",
        ),
        ({"dataset_name": "a/b", "loss_weights": 1}, (), "loss_weights: expected a list"),
        (
            {"dataset_name": "a/b", "packing": True, "test_split_size": "few", "datasets": [{"path": "a/c"}]},
            (),
            "expected a number, found 'few'",
        ),
        (LLAMA_FACTORY, (), "there is no dataset_info.json that says what it is"),
    ],
)
def test_bad_input_is_one_line(convert, tmp_path, text, more, message):
    (tmp_path / "more").mkdir()
    sets = {name: {"file_name": file} for name, file in (("one", "../chat.jsonl"), ("two", "no.jsonl"))}
    (tmp_path / "more" / "dataset_info.json").write_text(json.dumps(sets))
    done = convert("x.yaml", text, *more)
    assert done.code == 2
    assert message in done.account["error"]
    assert len(done.err.splitlines()) == 1
    assert done.recipe is None


def test_a_recipe_that_is_there_or_cannot_be_written(convert, tmp_path):
    given = {"dataset_name": "chat.jsonl", "model_name_or_path": "a/b", "packing": True}
    assert convert("x.yaml", given, "name=first").recipe["name"] == "first"
    again = convert("x.yaml", given, "name=second")
    assert (again.code, again.recipe["name"]) == (2, "first")
    assert "say --fresh to replace it" in again.account["error"]
    assert convert("x.yaml", given, "name=second", "--fresh").recipe["name"] == "second"
    done = convert("x.yaml", given, "--out", str(tmp_path / "chat.jsonl" / "y.yaml"))
    assert done.code == 2
    assert "cannot be written" in done.account["error"]


def test_a_number_that_nobody_gives_is_named():
    draft = Draft("x.yaml", {"epochs": "2", "steps": 2.5}, {"group": 8})
    assert (draft.amount("epochs"), draft.count("group")) == (2.0, 8)
    for ask, name in ((draft.amount, "rate"), (draft.count, "rate"), (draft.count, "steps")):
        with pytest.raises(InputError, match=rf"x\.yaml: {name}: expected a"):
            ask(name)
