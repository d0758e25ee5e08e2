"""PPO with a critic of its own: whose gradient is whose, what it begins as, what is saved, going on, refusals."""

import json

import pytest
import torch
from dying import dying_at
from preference_runs import TEXTS
from safetensors import safe_open

from strop.chat import Example
from strop.cli import main
from strop.data.batch import make_batch
from strop.model.names import load_model
from strop.model.policy import Policy, scalar_head
from strop.model.precision import Compute
from strop.train import loop

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
REWARD = "def letters(samples):\n    return [sum(c in 'aeiou' for c in s.answer) for s in samples]\n"


@pytest.fixture(scope="module")
def folder(make_model_folder):
    return make_model_folder(TEXTS, 300)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps({"prompt": f"Say {i}."}) + "\n" for i in range(4)))
    (tmp_path / "mine.py").write_text(REWARD)
    return tmp_path


def ppo(folder, *more, name="ppo", steps=4):
    return main([
        "ppo", str(folder), "--data", "asked.jsonl", f"name={name}", "compute.dtype=float32",
        "rewards={l: {kind: function, function: 'mine.py:letters'}}", "grading.workers=1",
        "rollout={prompts_per_step: 2, group_size: 4, max_tokens: 6, updates_per_rollout: 2, mini_batches: 2}",
        f"train.max_steps={steps}", "train.learning_rate=1e-2", "train.checkpoint_every=2", *more,
    ])  # fmt: skip


def metrics(here, name="ppo"):
    return [json.loads(line) for line in (here / f"runs/{name}/ppo/metrics.jsonl").read_text().splitlines()]


def test_values_and_their_gradient_are_the_critics_and_log_probabilities_the_policys(make_model):
    batch = make_batch([Example(list(range(5, 14)), [0.0] * 3 + [1.0] * 6, "t", (), ())])
    policy, critic = (Policy(make_model(seed), FLOAT32, probe=False) for seed in (0, 1))
    critic.value_head = scalar_head(critic.model, 2)
    alone = Policy(make_model(0), FLOAT32, probe=False)
    policy.critic = critic
    outputs = policy(batch, ("logprobs", "values", "entropy"))
    assert torch.equal(outputs["logprobs"], alone(batch)["logprobs"])
    hidden = plain_states(critic, batch)
    torch.testing.assert_close(outputs["values"], critic.value_head(hidden)[:, 0], atol=1e-5, rtol=1e-5)
    assert torch.equal(policy(batch, ("values",))["values"], outputs["values"])
    outputs["values"].sum().backward()
    assert all(p.grad is None for p in policy.model.parameters())
    assert all(p.grad is not None for p in critic.model.model.parameters())
    critic.zero_grad(set_to_none=True)
    (outputs["logprobs"].sum() + outputs["entropy"].sum()).backward()
    assert all(p.grad is None for p in critic.parameters())
    assert all(p.grad is not None for p in policy.model.parameters())


def plain_states(critic, batch):
    """Hidden states at the trained positions, from a plain copy of the critic's model."""
    plain = type(critic.model)(critic.model.config).eval()
    plain.load_state_dict(critic.model.state_dict())
    plain.set_attn_implementation("eager")
    return plain.model(input_ids=batch.tokens[None]).last_hidden_state[0][batch.trained_index]


def test_a_copy_of_the_policy_learns_values_and_only_the_policy_is_saved(here, folder):
    assert ppo(folder, "critic.separate=true", steps=12) == 0
    rows = metrics(here)
    assert {"value_loss", "value_error"} <= set(rows[0])
    errors = [row["value_error"] for row in rows]  # of a batch of rollouts two passes, each in two parts
    for first in (0, 4, 8):
        assert sum(errors[first + 2 : first + 4]) < 0.9 * sum(errors[first : first + 2]), errors
    saved = load_model(here / "runs/ppo/ppo/model")
    assert [name for name, _ in saved.named_parameters()] == [n for n, _ in load_model(folder).named_parameters()]
    [checkpoint] = (here / "runs/ppo/ppo/checkpoints").rglob("model.safetensors")
    with safe_open(checkpoint, "pt") as kept:
        assert any(name.startswith("critic.model.") for name in kept.keys())  # noqa: SIM118 - not a mapping


def test_a_process_that_samples_ahead_needs_no_critic(here, folder):
    assert ppo(folder, "critic.separate=true", "rollout.staleness=1", steps=8) == 0
    rows = metrics(here)
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert any(row.get("rollout/version_lag") for row in rows)


def test_with_adapters_the_critic_has_its_own_and_a_rate_of_its_own(here, folder):
    lora = ("lora={r: 2, targets: [all-linear]}", 'train.groups=[{match: "^critic", learning_rate: 1.0e-3}]')
    assert ppo(folder, "critic.separate=true", *lora, steps=2) == 0
    [checkpoint] = (here / "runs/ppo/ppo/checkpoints").rglob("model.safetensors")
    with safe_open(checkpoint, "pt") as kept:
        trained = list(kept.keys())
    assert {name.startswith("critic.") for name in trained if "lora_" in name} == {True, False}
    assert [name for name in trained if "lora_" not in name and name.startswith("critic.")] != []  # its values
    assert metrics(here)[0]["lr/^critic"] == pytest.approx(1e-3)


def test_killed_and_gone_on_is_uninterrupted_bit_for_bit_critic_included(here, folder):
    assert ppo(folder, "critic.separate=true", name="whole", steps=8) == 0
    with dying_at(6):
        ppo(folder, "critic.separate=true", name="cut", steps=8)
    assert ppo(folder, "critic.separate=true", name="cut", steps=8) == 0
    one, other = (metrics(here, name) for name in ("whole", "cut"))
    for name in ("loss", "value_loss", "value_error", "reward"):
        assert [row.get(name) for row in one] == [row.get(name) for row in other]


def test_a_reward_model_as_critic_begins_with_its_scores(here, folder, monkeypatch):
    rows = [{"prompt": f"q{i}", "chosen": f"yes {i}", "rejected": "no"} for i in range(8)]
    (here / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("STROP_CACHE", str(here / "cache"))
    assert main(["rm", str(folder), "--data", "pairs.jsonl", "compute.dtype=float32", "train.learning_rate=1e-3"]) == 0
    real, seen = loop.optimizer_step, []

    def noted(weights, *args):
        if not seen:
            seen.append(weights.policy.critic.value_head.weight.detach().clone())
        return real(weights, *args)

    monkeypatch.setattr(loop, "optimizer_step", noted)
    assert ppo(folder, "critic.model=runs/rm") == 0
    assert torch.equal(seen[0], load_model(here / "runs/rm/rm/model").score.weight)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("critic={}",), "give separate: true (a copy of the policy), or model: a folder"),
        (("critic={separate: true, model: x}",), "not both"),
        (("critic.model=./none",), "critic.model: There is no model './none'"),
        (("critic.separate=true", "objective.preset=grpo"), "critic would not be read: set objective.preset=ppo"),
    ],
)
def test_a_critic_that_makes_no_sense_is_refused_by_name(here, folder, capsys, more, words):
    assert ppo(folder, *more) == 2
    assert words in capsys.readouterr().err


def test_a_critic_with_other_tokens_or_a_shorter_window_is_refused_before_anything_begins(
    here, folder, make_model_folder, capsys
):
    other, short = make_model_folder(TEXTS, 310), make_model_folder(TEXTS, 300, max_position_embeddings=64)
    for model, words in ((other, "critic.model: "), (short, "reads 64 tokens and the policy 512")):
        assert ppo(folder, f"critic.model={model}") == 2
        said = capsys.readouterr().err
        assert words in said
        assert ("has other tokens than the model that is trained" in said) == (model == other)
        assert not (here / "runs/ppo/ppo").exists()
