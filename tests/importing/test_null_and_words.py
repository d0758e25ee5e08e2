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
