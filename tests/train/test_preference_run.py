"""Preference training through the loop: pairs in one row, prompts shared, and what the log shows of it."""

import json

import pytest
import torch
from small_runs import FLOAT32, make_examples

from strop.chat import Example
from strop.data.prefixes import make_group_batch
from strop.data.step import Step
from strop.model.policy import Policy
from strop.objectives.preference import preference_objective
from strop.objectives.preference_settings import PreferenceLossSettings
from strop.train.loop import train
from strop.train.settings import TrainSettings
from strop.train.step import evaluation
from strop.train.step import gradients as gradients_of
from strop.train.weights import Weights


def make_pairs(count):
    """A prompt with two answers; the chosen one starts with token 5, the rejected one with token 7."""
    pairs = []
    for i, row in enumerate(make_examples(count, seed=4)):
        pair = []
        for first in (5, 7):
            answer = [first, *torch.randint(8, 97, (2 + i % 3,), generator=torch.Generator().manual_seed(i)).tolist()]
            weights = [0.0] * len(row.tokens) + [1.0] * len(answer)
            pair.append(Example([*row.tokens, *answer], weights, "test", (), ()))
        pairs.append(pair)
    return pairs


def batch_of(policy, pairs, share=True):
    """One row of these pairs with the reference's log-probabilities, those of ``policy`` as it is now."""
    streams = {"pair": [[p, p] for p in range(len(pairs))], "preferred": [[1, -1] for _ in pairs]}
    rows = []
    for pair in pairs:
        rows.append([])
        for example in pair:
            alone = make_group_batch([[example]], share=False)
            with torch.no_grad():
                own = policy(alone)["logprobs"].tolist()
            rows[-1].append([0.0] * (len(example.tokens) - len(own)) + own)
    return make_group_batch(pairs, share, {"ref_logprobs": rows}, streams)


class PairSource:
    """The same two rows in every step."""

    def __init__(self, batches, steps):
        self._batches, self.steps = batches, steps

    def next_step(self):
        return Step(self._batches)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        assert state == {}


def test_one_step_is_the_same_with_shared_prompts_and_in_any_micro_batches(make_model):
    def gradients(cuts, share):
        # A padding token's row begins as 0, where the norm's gradient is too steep for float32.
        policy = Policy(make_model(pad_token_id=None), FLOAT32, probe=False).eval()
        pairs = make_pairs(4)
        batches = [batch_of(policy, [pairs[i] for i in cut], share) for cut in cuts]
        loss, _ = gradients_of(
            Weights(policy, TrainSettings()), preference_objective(PreferenceLossSettings(beta=0.5)), batches
        )
        return loss["loss"], [p.grad.clone() for p in policy.parameters()]

    loss, expected = gradients([[0, 1, 2, 3]], share=False)
    assert loss == pytest.approx(0.6931, abs=1e-4)  # log 2, at the reference
    for cuts, share in (([[0, 1, 2, 3]], True), ([[3], [1, 0], [2]], False), ([[3], [1, 0], [2]], True)):
        other, got = gradients(cuts, share)
        assert other == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_training_prefers_the_chosen_answers_and_logs_margin_and_accuracy(make_model, tmp_path):
    policy = Policy(make_model(), FLOAT32, probe=False).eval()
    pairs = make_pairs(6)
    batches = [batch_of(policy, pairs[:3]), batch_of(policy, pairs[3:])]
    objective = preference_objective(PreferenceLossSettings(beta=0.5))
    settings = TrainSettings(learning_rate=3e-3, warmup_steps=1, eval_every=10)
    train(
        Weights(policy, settings), PairSource(batches, 20), objective, settings, tmp_path,
        evaluate=lambda: evaluation(policy, objective, batches),
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "loss" in row]
    assert steps[0]["reward_margin"] == pytest.approx(0, abs=1e-3)
    assert steps[-1]["reward_accuracy"] == 1.0
    assert steps[-1]["reward_margin"] == pytest.approx(steps[-1]["reward_chosen"] - steps[-1]["reward_rejected"])
    assert steps[-1]["loss"] < 0.2
    held_out = [row for row in rows if "eval_loss" in row]
    assert [row["step"] for row in held_out] == [0, 10, 20]
    assert held_out[-1]["eval_reward_accuracy"] == 1.0
    assert held_out[-1]["eval_loss"] < steps[-1]["loss"]
