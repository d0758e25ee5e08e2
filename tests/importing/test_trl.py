"""TRL's settings: losses, adapters, mixtures of data, and the trainers of which strop has a counterpart."""

import json

import pytest

from strop.objectives.preference_settings import PreferenceLossSettings

HERE = {"model_name_or_path": "a/b", "dataset_name": "chat.jsonl"}


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({"loss_type": "ipo"}, {"type": "ipo", "length_normalised": True}),
        ({"loss_type": ["sigmoid_norm"]}, {"type": "dpo", "length_normalised": True}),
        ({"loss_type": "sigmoid"}, {"type": "dpo"}),
        ({"loss_type": "hinge"}, {"type": "hinge"}),
        ({"loss_type": "robust", "label_smoothing": 0.1}, {"type": "robust", "label_smoothing": 0.1}),
        ({"loss_type": "robust"}, {"type": "dpo"}),
        ({"loss_type": "hinge", "label_smoothing": 0.1}, {"type": "hinge"}),
    ],
)
def test_losses_of_pairs(convert, own, wanted):
    done = convert("dpo.yaml", {**HERE, "dataset_name": "org/pairs", **own}, "--from", "trl:dpo")
    assert done.code == 0, done.err
    assert done.stage["objective"] == {**wanted, "beta": 0.1}
    assert ("label_smoothing" in done.unmapped) == (own == {"loss_type": "hinge", "label_smoothing": 0.1})


def test_simpo_is_a_loss_of_cpo_and_none_of_dpo(convert):
    given = {**HERE, "dataset_name": "org/pairs", "loss_type": "simpo", "simpo_gamma": 1.2, "beta": 2.5}
    done = convert("x.yaml", given)
    assert (done.code, done.account["stage"]) == (0, "cpo")
    # cpo_alpha is 1 where nothing is given.
    assert done.stage["objective"] == {"type": "simpo", "beta": 2.5, "gamma": 1.2, "sft_weight": 1.0}
    PreferenceLossSettings(**done.stage["objective"])
    done = convert("x.yaml", {**given, "loss_type": "alphapo"}, "--from", "trl:cpo", "--fresh")
    assert done.stage["objective"]["sft_weight"] == 0.0
    done = convert("x.yaml", {**given, "loss_type": "hinge"}, "--from", "trl:cpo", "--fresh")
    assert "strop has no hinge without a reference" in done.unmapped["loss_type"]
    done = convert("x.yaml", given, "--from", "trl:dpo", "--fresh")
    assert done.unmapped.keys() == {"loss_type", "simpo_gamma"}


def test_adapters_in_the_names_of_peft(convert):
    given = {**HERE, "packing": True, "r": 64, "target_modules": ["q_proj", "k_proj"], "modules_to_save": ["lm_head"],
             "use_dora": True, "bias": "all", "task_type": "CAUSAL_LM"}  # fmt: skip
    done = convert("x.json", json.dumps(given))
    assert done.code == 0, done.err
    # LoraConfig's own defaults: alpha 8 and no dropout, where TRL's command line has 32 and 0.05.
    assert done.stage["lora"] == {
        "targets": ["q_proj", "k_proj"], "modules_to_save": ["lm_head"], "r": 64, "alpha": 8, "dropout": 0.0,
        "dora": True,
    }  # fmt: skip
    told = {one["setting"] for part in ("mapped", "unmapped", "not_needed") for one in done.account[part]}
    assert {"r", "target_modules", "modules_to_save", "bias", "task_type", "use_dora"} <= told
    assert done.unmapped.keys() == {"bias"}
    done = convert("x.json", json.dumps({**given, "use_peft": False}), "--fresh")
    assert "lora" not in done.stage


def test_sections_called_after_the_classes(convert):
    given = {
        "ModelConfig": {"model_name_or_path": "a/b"},
        "ScriptArguments": {"dataset_name": "chat.jsonl"},
        "SFTConfig": {"learning_rate": 3e-4, "max_length": 512},
        "LoraConfig": {"r": 4, "lora_alpha": 16, "lora_dropout": 0.1, "target_modules": "all-linear"},
    }
    done = convert("x.yaml", given)
    assert done.code == 0, done.err
    assert (done.account["stage"], done.recipe["model"]) == ("sft", "a/b")
    assert done.stage["train"]["learning_rate"] == 3e-4
    assert done.stage["lora"] == {"targets": ["all-linear"], "r": 4, "alpha": 16.0, "dropout": 0.1}
    mapped = {one["setting"]: one["becomes"] for one in done.account["mapped"] if not one["default"]}
    assert (mapped["SFTConfig.learning_rate"], mapped["LoraConfig.r"]) == (3e-4, 4)
    assert done.unmapped == {}


def test_a_prompt_length_is_no_sign_of_dpo(convert):
    given = {**HERE, "num_generations": 4, "max_prompt_length": 512, "max_completion_length": 64}
    done = convert("x.yaml", given)
    assert (done.code, done.account["stage"]) == (0, "grpo")


def test_a_mixture_of_data(convert):
    mixture = {
        "datasets": [
            {"id": "org/one", "config": "en", "split": "train_sft", "columns": ["messages"], "weight": 0.25},
            {"id": "chat.jsonl", "columns": ["dialogue"]},
            {"id": "org/two", "weight": 1.0, "colums": []},
        ],
        "seed": 0,
        "test_split_size": 0.1,
    }
    done = convert("x.yaml", {"model_name_or_path": "a/b", "packing": True, "dataset_mixture": mixture})
    assert done.code == 0, done.err
    assert done.stage["data"] == [
        {"hub": "org/one", "subset": "en", "split": "train_sft[:25%]"}, {"path": "chat.jsonl"}, {"hub": "org/two"},
    ]  # fmt: skip
    assert done.stage["eval_data"] == {"fraction": 0.1}
    assert done.unmapped.keys() == {"dataset_mixture.datasets.1.columns", "dataset_mixture.datasets.2.colums"}
    assert any("the first 25 % of train_sft" in note for note in done.account["notes"])
    mixture["datasets"][0]["weight"] = 25
    done = convert("x.yaml", {"model_name_or_path": "a/b", "packing": True, "dataset_mixture": mixture}, "--fresh")
    assert (done.code, "above 0 and up to 1" in done.account["error"]) == (2, True)


def test_files_of_a_data_set_are_parts_each(convert, tmp_path):
    for name in ("more.jsonl", "part-1.jsonl", "part-2.jsonl"):
        (tmp_path / name).write_text((tmp_path / "chat.jsonl").read_text())
    given = {"model_name_or_path": "a/b", "assistant_only_loss": True, "datasets": [
        {"path": "json", "data_files": ["chat.jsonl", "more.jsonl"], "split": "train[:50%]"},
        {"path": "json", "data_files": "part-*.jsonl"},
        {"path": "parquet", "data_files": {"train": "train.parquet", "test": "chat.jsonl"}},
        {"path": "org/set", "name": "en", "data_files": ["en/a.jsonl", "en/b.jsonl"]},
        {"path": "org/set", "data_dir": "en"},
    ]}  # fmt: skip
    done = convert("x.yaml", given)
    assert done.code == 0, done.err
    assert done.stage["data"] == [
        {"path": "chat.jsonl", "split": "train[:50%]"}, {"path": "more.jsonl", "split": "train[:50%]"},
        {"path": "part-1.jsonl"}, {"path": "part-2.jsonl"},
        {"path": "train.parquet"}, {"hub": "org/set", "subset": "en"}, {"hub": "org/set"},
    ]  # fmt: skip
    told = {"0.split", "2.data_files", "3.data_files", "4.data_dir"}
    assert done.unmapped.keys() == {f"datasets.{one}" for one in told}
    done = convert("x.yaml", {**given, "datasets": [{"name": "en"}]}, "--fresh")
    assert (done.code, "datasets.0: has no path" in done.account["error"]) == (2, True)


def test_the_older_mixture(convert):
    given = {"model_name_or_path": "a/b", "packing": True, "dataset_mixer": {"org/a": 1.0, "org/b": 0.5},
             "dataset_splits": ["train_sft", "test_sft"], "eval_strategy": "steps", "eval_steps": 5}  # fmt: skip
    done = convert("x.yaml", given)
    assert done.code == 0, done.err
    assert done.stage["data"] == [
        {"hub": "org/a", "split": "train_sft"},
        {"hub": "org/b", "split": "train_sft[:50%]"},
    ]
    assert [one["split"] for one in done.stage["eval_data"]] == ["test_sft", "test_sft"]


def test_gkd_is_distillation(convert):
    given = {**HERE, "teacher_model_name_or_path": "a/big", "lmbda": 0.25, "beta": 0.0, "temperature": 1.0,
             "max_new_tokens": 64, "seq_kd": True}  # fmt: skip
    done = convert("x.yaml", given)
    assert done.code == 0, done.err
    assert (done.account["stage"], done.stage["kind"], done.stage["teacher"]) == ("gkd", "distill", "a/big")
    assert done.stage["objective"] == {"divergence": "forward", "temperature": 1.0}
    assert (done.stage["on_policy"], done.stage["rollout"]) == (0.25, {"max_tokens": 64, "temperature": 1.0})
    assert done.unmapped.keys() == {"seq_kd"}
    done = convert("x.yaml", {**given, "lmbda": 0.0, "beta": 0.7, "temperature": 2.0}, "--fresh")
    assert "rollout" not in done.stage
    assert done.stage["objective"] == {"divergence": "reverse", "temperature": 2.0}
    assert any("beta 0.7" in note for note in done.account["notes"])


def test_distillation_on_the_students_own_answers(convert):
    given = {**HERE, "teacher_model_name_or_path": "a/big", "use_peft": True}
    done = convert("x.yaml", given)
    assert done.code == 0, done.err
    assert (done.account["stage"], done.stage["on_policy"]) == ("distillation", 1.0)
    assert done.stage["objective"] == {"divergence": "reverse", "temperature": 1.0}  # beta 1 by default
    assert done.stage["rollout"] == {"max_tokens": 512, "temperature": 1.0}
    assert "dropout" not in done.stage["lora"]
    done = convert("x.yaml", HERE, "--from", "trl:distillation", "--fresh")
    assert (done.code, "names no teacher" in done.account["error"]) == (2, True)


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"top_k": 50}, {"top_k"}),
        ({"top_k": 0, "top_p": 1.0}, set()),
        ({"top_k": -1, "min_p": 0.0}, set()),
        ({"reward_weights": [1.0, 1]}, set()),
        ({"reward_weights": [1.0, 0.5]}, {"reward_weights"}),
    ],
)
def test_filters_and_weights_that_change_nothing_are_not_told(convert, own, told):
    done = convert("x.yaml", {**HERE, "num_generations": 4, **own})
    assert done.code == 0, done.err
    assert done.unmapped.keys() == told
