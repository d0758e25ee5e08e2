"""Scripts of several commands: the one that trains is read, and of the others it is said that they are not."""

import pytest

SFT = "trl sft --model_name_or_path a/b --dataset_name chat.jsonl --assistant_only_loss"
DPO = "trl dpo --model_name_or_path out --dataset_name org/pairs"
GRPO = "accelerate launch --num_processes 2 trl/scripts/grpo.py --model_name_or_path a/b --dataset_name train.parquet"
PPO = ("python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo data.train_files=train.parquet "
       "actor_rollout_ref.model.path=a/b actor_rollout_ref.rollout.n=4")  # fmt: skip


@pytest.mark.parametrize(
    ("script", "stage", "left"),
    [
        (f"CUDA_VISIBLE_DEVICES=0 trl vllm-serve --model a/b &\n{GRPO}", "grpo", "trl vllm-serve (it trains nothing)"),
        (f"trl vllm-serve --model a/b & {GRPO}", "grpo", "trl vllm-serve (it trains nothing)"),
        (f"python3 examples/prepare.py --local_dir data\n{PPO}", "ppo", "python3 examples/prepare.py (it is no "),
        (f"ray start --head --num-gpus 8\nray job submit --address=x -- {PPO}", "ppo", "ray start (it is no training"),
        (f"{PPO}\npython -m verl.model_merger merge --backend fsdp", "ppo", "python -m verl.model_merger (it is no "),
        (f"axolotl preprocess none.yaml\n{SFT}", "sft", "axolotl preprocess (it trains nothing)"),
        (f"{SFT}\nllamafactory-cli export merge.yaml", "sft", "llamafactory-cli export (it trains nothing)"),
    ],
)
def test_what_trains_nothing_is_passed_over_and_said(convert, script, stage, left):
    done = convert("run.sh", script)
    assert done.code == 0, done.err
    assert (done.account["stage"], done.recipe["model"]) == (stage, "a/b")
    said = [note for note in done.account["notes"] if note.startswith("not read: ")]
    assert len(said) == 1
    assert said[0].startswith(f"not read: {left}")


def test_of_two_that_train_the_user_says_which(convert):
    done = convert("run.sh", f"{SFT}\n{DPO}")
    assert (done.code, done.recipe) == (2, None)
    assert "several commands that train (trl sft; trl dpo); say which with --from trl:sft or trl:dpo" in done.err
    for stage, other, model in (("sft", "dpo", "a/b"), ("dpo", "sft", "out")):
        done = convert("run.sh", f"{SFT}\n{DPO}", "--from", f"trl:{stage}", "--fresh")
        assert done.code == 0, done.err
        assert (done.account["stage"], done.recipe["model"]) == (stage, model)
        told = f"not read: trl {other} (it is another training: import it with --from trl:{other})"
        assert told in done.account["notes"]


@pytest.mark.parametrize(
    ("script", "more", "message"),
    [
        (f"{SFT}\n{SFT} --packing", (), "several commands that train (trl sft; trl sft); leave the one to import in"),
        (f"{SFT}\n{SFT} --packing", ("--from", "trl:sft"), "(trl sft; trl sft); leave the one to import in the file"),
        ("axolotl preprocess own.yaml", (), "axolotl preprocess: trains nothing; give the file of the training"),
        ("python a.py --x 1\npython b.py --y 2", ("--from", "trl:sft"), "none of them tells that it trains"),
        ("trl sft --config none.yaml", (), "its command reads none.yaml, which is not there"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(convert, script, more, message):
    done = convert("run.sh", script, *more)
    assert (done.code, done.recipe) == (2, None)
    assert message in done.account["error"]
