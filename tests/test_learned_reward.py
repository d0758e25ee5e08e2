"""A reward model as a part of the reward, in training and in sampling, whatever tokens the policy has."""

import json

import pytest
import torch
from preference_runs import PAIRS, TEXTS
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from strop.cli import main
from strop.model.precision import Compute
from strop.rewards.kinds import ModelReward
from strop.rollout.grading import Grader
from strop.rollout.prompts import Prompt
from strop.rollout.reward_model import load_reward_model
from strop.rollout.settings import GradingSettings
from strop.rollout.trajectory import Trajectory

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
SMALL = ("rollout.group_size=4", "rollout.max_tokens=16", "compute.dtype=float32")


@pytest.fixture(scope="module")
def trained(make_model_folder, tmp_path_factory):
    """Trained on pairs: a reward model with tokens of its own, and a policy that answers in words and stops."""
    place, texts = tmp_path_factory.mktemp("trained"), [*TEXTS, "Something else altogether."]
    rows = [{"prompt": row["prompt"], "completion": row[side]} for row in PAIRS for side in ("chosen", "rejected")]
    steps = ("train.learning_rate=1e-2", "train.global_batch_size=8", "train.epochs=4", "compute.dtype=float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("STROP_CACHE", str(place / "cache"))
        for verb, model, data in (
            ("rm", make_model_folder(texts, 330), PAIRS),
            ("sft", make_model_folder(TEXTS, 300), rows),
        ):
            (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
            assert main([verb, str(model), "--data", "rows.jsonl", *steps]) == 0
    return place / "runs"


@pytest.fixture
def judge(trained):
    return trained / "rm"


@pytest.fixture
def policy(trained):
    return str(trained / "sft")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps({"prompt": row["prompt"]}) + "\n" for row in PAIRS[:6]))
    return tmp_path


def served(judge, asked, said):
    """What transformers gives for the model's own template."""
    tokenizer = AutoTokenizer.from_pretrained(judge / "rm/model")
    model = AutoModelForSequenceClassification.from_pretrained(judge / "rm/model", dtype=torch.float32).eval()
    turns = [*asked, {"role": "assistant", "content": said}]
    ids = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False).input_ids
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, 0].item()


def test_in_training_each_answer_has_the_score_that_the_model_serves(here, judge, policy):
    command = [
        "grpo",
        policy,
        "--data",
        "asked.jsonl",
        f"rewards={{learned: {{kind: model, path: {judge}}}}}",
    ]
    assert main([*command, *SMALL, "train.max_steps=2", "rollout.keep_every=1", "rollout.prompts_per_step=3"]) == 0
    folder, checked = here / "runs/grpo/grpo", 0
    for line in (folder / "rollouts/step-000001.jsonl").read_text().splitlines():
        row = json.loads(line)
        for answer in row["answers"]:
            if "<|" not in answer["answer"] and "�" not in answer["answer"]:
                assert answer["parts"]["learned"] == pytest.approx(
                    served(judge, row["messages"], answer["answer"]), abs=1e-4
                )
                checked += 1
            assert answer["reward"] == answer["parts"]["learned"]
    assert checked > 4
    told = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    assert {"reward/learned", "reward/learned_std"} <= set(told)


def test_in_sampling_it_is_the_judge_of_the_best(here, judge, policy):
    reward = f"rewards={{learned: {{kind: model, path: {judge}}}}}"
    for name, keep in (("all", "keep=all"), ("best", "keep=best")):
        command = ["sample", policy, "--data", "asked.jsonl", reward, *SMALL, keep, f"name={name}"]
        assert main([*command, "threshold=-100"]) == 0
    every, best = (
        [json.loads(line) for line in (here / f"runs/{name}/sample/rows.jsonl").read_text().splitlines()]
        for name in ("all", "best")
    )
    assert len(every) > len(best) > 3
    score = load_reward_model(judge, FLOAT32)
    assert len({row["reward"] for row in every}) > len(best)  # it tells answers apart
    for row in best:
        others = [one for one in every if one["origin"] == row["origin"] and one["finish_reason"] == "stop"]
        given = score([one["prompt"] for one in others], [one["completion"][-1]["content"] for one in others])
        assert row["reward"] == pytest.approx(max(given), abs=1e-4)


def test_an_answer_that_it_cannot_read_has_failed_and_the_others_have_not(judge):
    grader = Grader({"learned": ModelReward(kind="model", path=str(judge))}, GradingSettings(), FLOAT32)
    prompt = Prompt("p", [{"role": "user", "content": "Tell me about red."}], (1,))

    def answer(text):
        return Trajectory("p", 0, 0, (1, 2), (0.0, 1.0), (0.0, -1.0), "stop", text)

    [[good, long, empty]] = grader.grade([prompt], [[answer("Gladly: red"), answer("x" * 2000), answer("")]])
    assert good.reward == load_reward_model(judge, FLOAT32)([prompt.messages], ["Gladly: red"])[0]
    assert long.reward is None
    assert "the reward model reads at most 512" in long.failures["learned"]
    assert empty.reward is not None


def test_it_is_held_in_float32_whatever_is_computed_in(judge):
    found = load_reward_model(judge, Compute(torch.device("cpu"), torch.bfloat16))
    assert {p.dtype for p in found._loaded.policy.parameters()} == {torch.float32}


def test_a_score_that_is_no_number_has_failed(judge, monkeypatch):
    grader = Grader({"learned": ModelReward(kind="model", path=str(judge))}, GradingSettings(), FLOAT32)
    model = grader.models[str(judge)]
    with torch.no_grad():
        model._loaded.policy.model.score.weight.fill_(torch.nan)
    prompt = Prompt("p", [{"role": "user", "content": "q"}], (1,))
    one = Trajectory("p", 0, 0, (1, 2), (0.0, 1.0), (0.0, -1.0), "stop", "a")
    [[graded]] = grader.grade([prompt], [[one]])
    assert (graded.reward, graded.failures) == (None, {"learned": "gave nan"})


@pytest.mark.parametrize("verb", ["grpo", "sample"])
def test_what_is_no_reward_model_is_refused_by_name(here, policy, capsys, verb):
    for path, words in ((policy, "writes texts and has no score"), ("./none", "There is no model './none'")):
        reward = f"rewards={{learned: {{kind: model, path: {path}}}}}"
        assert main([verb, policy, "--data", "asked.jsonl", reward, *SMALL]) == 2
        said = capsys.readouterr().err
        assert "rewards.learned.path" in said
        assert words in said
        assert not (here / f"runs/{verb}/{verb}").exists()
