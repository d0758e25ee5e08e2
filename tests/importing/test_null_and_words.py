"""null where the other program has a default, and words that YAML reads as true and false."""

import pytest

HERE = {"model_name_or_path": "a/b", "dataset_name": "chat.jsonl", "assistant_only_loss": True}
ONLINE = {"model_name_or_path": "a/b", "dataset_name": "train.parquet", "num_generations": 4}


def mapped(done, name):
    return [one["becomes"] for one in done.account["mapped"] if one["setting"] == name and not one["default"]]


def test_no_longest_example(convert):
    for done in (
        convert("sft.yaml", {**HERE, "max_length": None}),
        convert("sft.sh", "trl sft --model_name_or_path a/b --dataset_name chat.jsonl --max_length None", "--fresh"),
        convert("dpo.yaml", {**HERE, "max_length": None}, "--from", "trl:dpo", "--fresh"),
    ):
        assert done.code == 0, done.err
        assert (done.recipe["chat"]["max_length"], mapped(done, "max_length")) == (None, [None])
    assert convert("sft.yaml", HERE, "--fresh").recipe["chat"]["max_length"] == 1024  # theirs, where nothing is said


def test_null_that_has_a_meaning_there(convert):
    done = convert("sft.yaml", {**HERE, "max_grad_norm": None, "gradient_checkpointing": None})
    assert done.code == 0, done.err
    assert (done.stage["train"]["max_grad_norm"], mapped(done, "max_grad_norm")) == (1e9, [1e9])
    assert "gradient_checkpointing" not in done.stage["train"]  # off, which is true by default there
    assert done.unmapped == {}


@pytest.mark.parametrize(
    ("given", "name", "becomes"),
    [
        ({**HERE, "learning_rate": None}, "learning_rate", 2e-5),
        ({**HERE, "num_train_epochs": None}, "num_train_epochs", 3.0),
        ({**ONLINE, "max_completion_length": None}, "max_completion_length", 512),
    ],
)
def test_null_that_strop_has_nothing_for_is_told(convert, given, name, becomes):
    done = convert("x.yaml", given)
    assert done.code == 0, done.err
    assert f"it is {becomes} here" in done.unmapped[name]


def test_null_of_axolotl_is_nothing_said(convert):
    given = {"base_model": "a/b", "datasets": [{"path": "chat.jsonl", "type": "chat_template"}], "learning_rate": 1e-5}
    done = convert("x.yaml", {**given, "max_grad_norm": None, "sequence_len": None, "weight_decay": None})
    assert done.code == 0, done.err
    assert (done.stage["train"]["max_grad_norm"], done.recipe["chat"]["max_length"]) == (1.0, 512)
    assert done.unmapped == {}


YAML = "model_name_or_path: a/b\ndataset_name: chat.jsonl\nassistant_only_loss: true\n"
SCRIPT = "trl sft --model_name_or_path a/b --dataset_name chat.jsonl --assistant_only_loss"
AXOLOTL = "base_model: a/b\nlearning_rate: 1e-5\ndatasets: [{path: chat.jsonl, type: chat_template}]\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sft.yaml", f'{YAML}save_strategy: "no"\neval_strategy: "no"'),
        ("sft.yaml", f"{YAML}save_strategy: no\neval_strategy: off"),
        ("sft.sh", f"{SCRIPT} --save_strategy no --eval_strategy no"),
        ("sft.json", '{"base_model": "a/b", "datasets": ["chat.jsonl"], "save_strategy": "no", "eval_strategy": "no"}'),
        ("a.yaml", f'{AXOLOTL}save_strategy: "no"\neval_strategy: "no"\nval_set_size: 0'),
    ],
)
def test_no_is_a_word_of_a_strategy(convert, name, text):
    done = convert(name, text)
    assert done.code == 0, done.err
    assert done.stage["train"]["checkpoint_every"] is None
    assert mapped(done, "save_strategy") == [None]
    assert "eval_data" not in done.stage
    assert done.unmapped == {}


def test_names_that_look_like_something_else(convert):
    done = convert("sft.sh", f"{SCRIPT} --run_name 2025_06_01")
    assert done.code == 0, done.err
    assert done.recipe["name"] == "2025_06_01"
    done = convert(
        "sft.yaml", f"{YAML}run_name: 2025-06-01\noutput_dir: 2025-06-02\nlogging_dir: [2025-06-03]", "--fresh"
    )
    assert (done.code, done.recipe["name"]) == (0, "2025-06-01")
    told = {one["setting"]: one["value"] for one in done.account["unmapped"] + done.account["not_needed"]}
    assert told == {"output_dir": "2025-06-02", "logging_dir": ["2025-06-03"]}


@pytest.mark.parametrize("config", ['"no"', "no"])
def test_a_language_is_no_falsehood(convert, config):
    given = f"model_name_or_path: a/b\ndataset_name: org/set\npacking: true\ndataset_config: {config}"
    assert convert("x.yaml", given).stage["data"] == [{"hub": "org/set", "subset": "no"}]


def test_words_that_are_true_and_false(convert):
    done = convert("sft.sh", f"{SCRIPT} --use_peft yes --bf16 no --load_best_model_at_end off")
    assert done.code == 0, done.err
    assert ("lora" in done.stage, "compute" in done.recipe) == (True, False)
