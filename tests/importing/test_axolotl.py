"""axolotl's settings: what TRL takes by default behind it, and what it counts by the epoch."""

import json

import pytest

BASE = {"base_model": "a/b", "learning_rate": 1e-5, "datasets": [{"path": "chat.jsonl", "type": "chat_template"}]}
PAIRS = {**BASE, "datasets": [{"path": "org/pairs", "type": "chatml.intel"}]}
GRPO = {**BASE, "rl": "grpo", "datasets": [{"path": "train.parquet"}], "micro_batch_size": 16}


@pytest.fixture
def axolotl(convert):
    def call(given):
        done = convert("a.yaml", given, "--fresh")
        assert done.code == 0, done.err
        return done

    return call


@pytest.fixture
def rows(tmp_path):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    (tmp_path / "chat.jsonl").write_text((json.dumps({"messages": turns}) + "\n") * 1000)


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({"rl": "simpo"}, {"type": "simpo", "beta": 0.1, "gamma": 0.5, "sft_weight": 1.0}),
        ({"rl": "simpo", "cpo_alpha": 0.0}, {"type": "simpo", "beta": 0.1, "gamma": 0.5, "sft_weight": 0.0}),
        ({"rl": "ipo"}, {"type": "ipo", "beta": 0.1, "length_normalised": True}),
        ({"rl": "dpo", "dpo_norm_loss": True}, {"type": "dpo", "beta": 0.1, "length_normalised": True}),
        ({"rl": "dpo", "dpo_label_smoothing": 0.2}, {"type": "cdpo", "beta": 0.1, "label_smoothing": 0.2}),
        ({"rl": "orpo", "orpo_alpha": 0.3, "rl_beta": 0.2}, {"type": "orpo", "beta": 0.2}),
        ({"rl": "dpo", "rl_beta": 0.2, "trl": {"beta": 0.4}}, {"type": "dpo", "beta": 0.4}),
    ],
)
def test_losses_of_pairs_as_trl_has_them(axolotl, own, wanted):
    assert axolotl({**PAIRS, **own}).stage["objective"] == wanted


def test_what_a_loss_does_not_read_is_told(axolotl):
    done = axolotl({**PAIRS, "rl": "ipo", "dpo_label_smoothing": 0.1, "dpo_norm_loss": False, "simpo_gamma": 1})
    assert done.unmapped.keys() == {"dpo_label_smoothing", "simpo_gamma"}


def test_columns_of_pairs(axolotl):
    one = {"path": "org/pairs", "type": "chat_template.default", "field_messages": "talk", "field_chosen": "good",
           "field_rejected": "rejected"}  # fmt: skip
    done = axolotl({**BASE, "rl": "dpo", "datasets": [one, {"path": "org/b", "type": "mine.own"}]})
    assert done.stage["data"][0] == {"hub": "org/pairs", "columns": {"chosen": "good", "messages": "talk"}}
    assert done.unmapped.keys() == {"datasets.1.type"}
    assert "datasets.0.type" in [one["setting"] for one in done.account["not_needed"]]


def test_grpo_is_that_of_trl(axolotl):
    done = axolotl({
        **GRPO, "rl_beta": 0.02, "gradient_accumulation_steps": 2, "num_epochs": 2, "saves_per_epoch": 2,
        "trl": {"num_generations": 4, "max_completion_length": 99, "scale_rewards": False, "loss_type": "dr_grpo",
                "mask_truncated_completions": True, "reward_funcs": ["mine.score"], "reward_weights": [1.0],
                "vllm_devise": 1},
    })  # fmt: skip
    assert done.stage["rollout"].items() >= {"group_size": 4, "prompts_per_step": 8, "max_tokens": 99}.items()
    wanted = {"preset": "dr_grpo", "kl_coef": 0.02, "advantage_scale": "none", "truncated": "mask", "ratio": "token"}
    assert done.stage["objective"].items() >= wanted.items()
    # 32 prompts, 8 in a step: 4 steps in each of the two epochs.
    assert (done.stage["train"]["max_steps"], done.stage["train"]["checkpoint_every"]) == (8, 2)
    assert done.unmapped.keys() == {"trl.reward_funcs", "trl.vllm_devise"}
    mapped = {one["setting"] for one in done.account["mapped"] if not one["default"]}
    assert {"trl.loss_type", "rl_beta", "num_epochs", "micro_batch_size, gradient_accumulation_steps"} <= mapped


def test_grpo_has_the_defaults_of_trl(axolotl):
    done = axolotl(GRPO)
    assert done.stage["rollout"].items() >= {"group_size": 8, "prompts_per_step": 2, "max_tokens": 512}.items()
    wanted = {"preset": "dapo", "overlong_buffer": None, "kl_coef": 0.0, "clip_low": 0.2, "clip_high": 0.2}
    assert done.stage["objective"].items() >= wanted.items()
    assert done.stage["train"]["learning_rate"] == 1e-5
    done = axolotl({**GRPO, "rl_beta": 0.02, "trl": {"beta": 0.5}})
    assert done.stage["objective"]["kl_coef"] == 0.5
    assert done.unmapped.keys() == {"rl_beta"}


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({}, {"warmup_ratio": 0.03}),
        ({"max_steps": 1000}, {"warmup_ratio": 0.03}),
        ({"max_steps": 4000}, {"warmup_steps": 100}),
        ({"num_epochs": 16}, {"warmup_steps": 100}),
        ({"warmup_steps": 0}, {"warmup_ratio": 0.0}),
        ({"warmup_ratio": 0.1}, {"warmup_ratio": 0.1}),
        ({"warmup_steps": 7}, {"warmup_steps": 7}),
    ],
)
def test_warm_up(axolotl, rows, own, wanted):
    done = axolotl({**BASE, **own, "gradient_accumulation_steps": 4})  # a thousand rows: 250 steps an epoch
    assert {name: value for name, value in done.stage["train"].items() if name.startswith("warmup")} == wanted


def test_warm_up_where_the_steps_are_not_known(axolotl):
    done = axolotl({**BASE, "datasets": [{"path": "org/other", "type": "alpaca"}]})
    assert done.stage["train"]["warmup_ratio"] == 0.03
    assert any("at most 100" in note for note in done.account["notes"])


@pytest.mark.parametrize(
    ("own", "evaluated", "saved"),
    [
        ({"evals_per_epoch": 4, "saves_per_epoch": 2, "val_set_size": 0.2}, 50, 100),  # 800 rows, 4 a step
        ({"evals_per_epoch": 4, "saves_per_epoch": 1, "val_set_size": 0.2, "num_epochs": 3}, 50, 200),
        ({"eval_strategy": "epoch", "save_steps": 0.25, "val_set_size": 0.2}, 200, 50),
        ({"eval_steps": 0.1, "save_steps": 10, "val_set_size": 0.2}, 20, 10),
        ({"evals_per_epoch": 2, "saves_per_epoch": 1, "max_steps": 60, "num_epochs": 3, "val_set_size": 0.2}, 10, 20),
    ],
)
def test_what_is_counted_by_the_epoch(axolotl, rows, own, evaluated, saved):
    done = axolotl({**BASE, **own, "gradient_accumulation_steps": 4})
    assert (done.stage["train"]["eval_every"], done.stage["train"]["checkpoint_every"]) == (evaluated, saved)
    assert done.unmapped == {}


def test_what_is_counted_by_the_epoch_without_the_data(axolotl):
    given = {**BASE, "datasets": [{"path": "org/other", "type": "alpaca"}], "val_set_size": 0.1}
    done = axolotl({**given, "evals_per_epoch": 4, "saves_per_epoch": 3})
    assert done.unmapped.keys() == {"evals_per_epoch", "saves_per_epoch"}
    assert "train.eval_every to them / 4" in done.unmapped["evals_per_epoch"]


def test_other_settings(axolotl):
    done = axolotl({**BASE, "cut_cross_entropy": True, "save_first_step": True, "loss_watchdog_threshold": 5.0})
    assert done.unmapped.keys() == {"save_first_step", "loss_watchdog_threshold"}
    assert "train.alarm" in done.unmapped["loss_watchdog_threshold"]


def test_files_of_a_data_set_are_parts_each(axolotl, tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("more.jsonl", "data/a.jsonl", "data/b.jsonl"):
        (tmp_path / name).write_text((tmp_path / "chat.jsonl").read_text())
    done = axolotl({**BASE, "datasets": [
        {"path": "json", "data_files": ["chat.jsonl", "more.jsonl"], "type": "alpaca"},
        {"path": "data", "data_files": "b.jsonl", "type": "chat_template"},
        {"path": "org/set", "data_files": ["a.jsonl"], "type": "chat_template"},
    ], "test_datasets": {"path": "json", "data_files": "data/a.jsonl", "type": "chat_template"}})  # fmt: skip
    assert done.stage["data"] == [
        {"path": "chat.jsonl", "format": "alpaca"}, {"path": "more.jsonl", "format": "alpaca"},
        {"path": "data/b.jsonl"}, {"hub": "org/set"},
    ]  # fmt: skip
    assert done.stage["eval_data"] == [{"path": "data/a.jsonl"}]
    assert done.unmapped.keys() == {"datasets.2.data_files"}


@pytest.mark.parametrize(
    ("way", "wanted"), [("raise", "error"), ("drop", "drop"), ("truncate", "truncate"), ("cut", "drop"), (None, "drop")]
)
def test_what_becomes_of_long_examples(axolotl, way, wanted):
    done = axolotl({**BASE, "excess_length_strategy": way})
    assert done.recipe["chat"]["too_long"] == wanted
    told = {one["becomes"] for one in done.account["mapped"] if one["setting"] == "excess_length_strategy"}
    assert (told, set(done.unmapped)) == ((set(), {"excess_length_strategy"}) if way == "cut" else ({wanted}, set()))


def test_what_is_not_used_of_a_data_set_is_told(axolotl):
    mappings = {"role": "role", "content": "content", "reasoning_content": "thoughts", "tool_calls": "tool_calls"}
    one = {"path": "chat.jsonl", "type": "chat_template", "field_thinking": "thoughts", "trust_remote_code": True,
           "message_property_mappings": mappings, "ds_type": "json", "text_column": "body"}  # fmt: skip
    usual = {"path": "chat.jsonl", "type": "chat_template", "field_thinking": "reasoning", "trust_remote_code": False,
             "message_property_mappings": {"reasoning_content": "thinking"}}  # fmt: skip
    done = axolotl({**BASE, "datasets": [one, usual]})
    told = {"message_property_mappings.reasoning_content", "field_thinking", "trust_remote_code", "text_column"}
    assert done.unmapped.keys() == {f"datasets.0.{name}" for name in told}
    needless = {entry["setting"] for entry in done.account["not_needed"]}
    assert needless >= {"datasets.0.ds_type", "datasets.1.trust_remote_code"}


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"rl": "grpo", "datasets": [{"path": "train.parquet", "field_messages": "talk"}]}, "field_messages"),
        ({"pretraining_dataset": [{"path": "org/web", "field_messages": "talk"}], "datasets": None}, "field_messages"),
        ({"datasets": [{"path": "chat.jsonl", "revision": "abc"}]}, "revision"),
    ],
)
def test_what_another_stage_or_a_file_has_nothing_for(axolotl, own, told):
    done = axolotl({**BASE, "micro_batch_size": 16, **own})
    assert {name.rpartition(".")[2] for name in done.unmapped} == {told}
