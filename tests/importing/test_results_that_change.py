"""Settings that change what comes out are never among those that are not needed."""

import pytest

TRL = {"model_name_or_path": "a/b"}
SFT = {**TRL, "dataset_name": "chat.jsonl", "assistant_only_loss": True}
GRPO = {**TRL, "dataset_name": "train.parquet", "num_generations": 4}
AXOLOTL = {"base_model": "a/b", "learning_rate": 1e-5, "datasets": [{"path": "chat.jsonl", "type": "chat_template"}]}
VERL = {"data.train_files": "train.parquet", "data.train_batch_size": 16, "algorithm.adv_estimator": "grpo",
        "actor_rollout_ref.model.path": "a/b", "actor_rollout_ref.rollout.n": 4,
        "actor_rollout_ref.actor.ppo_mini_batch_size": 16}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "name", "value", "same"),
    [
        (GRPO, "shuffle_dataset", False, True),
        (SFT, "train_sampling_strategy", "sequential", "random"),
        (VERL, "data.shuffle", False, True),
        (AXOLOTL, "shuffle_merged_datasets", False, True),
        (AXOLOTL, "dataset_exact_deduplication", True, False),
        (AXOLOTL, "tokenizer_config", "other/tokenizer", "a/b"),
        (AXOLOTL, "base_model_config", "other/model", "a/b"),
    ],
)
def test_a_value_that_changes_what_comes_out_is_not_mapped(convert, given, name, value, same):
    done = convert("x.yaml", {**given, name: value})
    assert done.code == 0, done.err
    assert done.unmapped.keys() == {name}
    done = convert("x.yaml", {**given, name: same}, "--fresh")
    assert (done.code, done.unmapped) == (0, {})


def test_sft_of_trl_has_another_order_each_epoch_with_or_without_shuffling_first(convert):
    done = convert("x.yaml", {**SFT, "shuffle_dataset": False})
    assert (done.code, done.unmapped) == (0, {})
