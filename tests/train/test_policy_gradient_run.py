"""The policy gradient on a model: through the policy, at the sampler's temperature, and in any micro-batches."""

import pytest
import torch
from small_runs import FLOAT32, make_examples

from strop.data.batch import make_batch
from strop.model.policy import Policy, scalar_head
from strop.objectives.policy_gradient import PolicyGradient
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.train.settings import TrainSettings
from strop.train.step import gradients as gradients_of
from strop.train.weights import Weights

EXAMPLES = make_examples(6, seed=3)
SCORES = (1.0, -0.5, 0.25, -1.0, 2.0, -2.0)
VALUES = ("advantages", "old_values", "returns")


def batch_of(policy, which, temperature, *, old=True):
    """Every token of an answer has its score as its advantage; log-probabilities are the policy's of now."""
    streams = {"advantages": [[SCORES[i]] * len(EXAMPLES[i].tokens) for i in which]}
    batch = make_batch([EXAMPLES[i] for i in which], streams)
    if old:
        with torch.no_grad():
            now = policy(batch, temperature=temperature)["logprobs"]
        batch = make_batch([EXAMPLES[i] for i in which], streams | {"old_logprobs": aligned(which, now)})
    return batch


def aligned(which, logprobs):
    """``[S]`` -> per answer a value for each token."""
    rows, at = [], 0
    for i in which:
        trained = [j for j, w in enumerate(EXAMPLES[i].loss_weights) if w and j]
        row = [0.0] * len(EXAMPLES[i].tokens)
        for j in trained:
            row[j], at = logprobs[at].item(), at + 1
        rows.append(row)
    return rows


def step(make_model, cuts, temperature=1.0, trained_at=None, one_update=False, known=True, **given):
    policy = Policy(make_model(), FLOAT32, probe=False).train()
    settings = PolicyGradientSettings(**{"preset": "dapo", **given})
    objective = PolicyGradient(settings, temperature=trained_at or temperature, one_update=one_update)
    batches = [batch_of(policy, cut, temperature, old=not one_update) for cut in cuts]
    if not known:
        objective.linear = lambda *_: None
    told, norm = gradients_of(Weights(policy, TrainSettings()), objective, batches)
    return told, norm, [p.grad.clone() for p in policy.parameters()]


def test_f01_f23_at_the_samplers_temperature_every_ratio_is_exactly_one_at_the_first_update(make_model):
    told, _, _ = step(make_model, [[0, 1, 2], [3, 4, 5]], 0.6)
    assert (told["ratio"], told["ratio_max"], told["kl_old"], told["clip_fraction_high"]) == (1, 1, 0, 0)
    told, _, _ = step(make_model, [[0, 1, 2], [3, 4, 5]], 0.6, trained_at=1.0)
    assert told["ratio_max"] > 1.5  # the fault: another temperature than that which was sampled at


@pytest.mark.parametrize("preset", ["dapo", "grpo", "gspo", "dr_grpo"])
def test_f12_micro_batches_change_neither_gradient_nor_metrics(make_model, preset):
    given = {"preset": preset, **({"kl_coef": 0} if preset == "grpo" else {})}
    if preset == "dr_grpo":
        given["loss_constant"] = 9
    whole, norm, expected = step(make_model, [[0, 1, 2, 3, 4, 5]], 0.8, **given)
    for cuts in ([[i] for i in range(6)], [[5, 0], [3, 2, 1, 4]]):
        told, _, got = step(make_model, cuts, 0.8, **given)
        assert told == pytest.approx(whole, rel=1e-5, abs=1e-6)
        torch.testing.assert_close(got, expected, atol=1e-5 * norm, rtol=1e-4)


@pytest.mark.parametrize("preset", ["dapo", "gspo", "cispo", "reinforce"])
def test_with_one_update_the_gradient_made_in_the_forward_pass_is_the_one_of_the_backward_pass(make_model, preset):
    cuts = [[0, 1, 2], [3, 4, 5]]
    told, norm, fast = step(make_model, cuts, 0.7, one_update=True, preset=preset)
    slow_told, _, slow = step(make_model, cuts, 0.7, one_update=True, known=False, preset=preset)
    _, _, read = step(make_model, cuts, 0.7, preset=preset)
    assert norm > 0.1
    assert told == pytest.approx(slow_told)
    torch.testing.assert_close(fast, slow, atol=1e-6 * norm, rtol=1e-5)
    torch.testing.assert_close(fast, read, atol=1e-6 * norm, rtol=1e-5)


def test_a_head_for_values_is_trained_beside_the_policy(make_model):
    def gradients(cuts):
        model = make_model()
        policy = Policy(model, FLOAT32, probe=False, heads={"values": scalar_head(model)}).train()
        batches = []
        for cut in cuts:
            streams = {name: [[SCORES[i] + k] * len(EXAMPLES[i].tokens) for i in cut] for k, name in enumerate(VALUES)}
            batches.append(make_batch([EXAMPLES[i] for i in cut], streams))
        objective = PolicyGradient(PolicyGradientSettings(preset="ppo", value_clip=5), one_update=True)
        told, _ = gradients_of(Weights(policy, TrainSettings()), objective, batches)
        return told, {name: p.grad.clone() for name, p in policy.named_parameters()}

    told, expected = gradients([range(6)])
    assert told["loss"] == pytest.approx(told["policy_loss"] + told["value_loss"])
    assert told["value_loss"] == pytest.approx(0.05 * told["value_error"], rel=1e-4)
    assert expected["value_head.weight"].abs().max() > 1e-3
    other, got = gradients([[3], [0, 5, 1], [4, 2]])
    assert other == pytest.approx(told, rel=1e-5)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-3)


def test_a_step_makes_rewarded_tokens_likelier_and_the_next_ratio_says_so(make_model):
    policy = Policy(make_model(), FLOAT32, probe=False).train()
    weights, objective = Weights(policy, TrainSettings()), PolicyGradient(PolicyGradientSettings(preset="dapo"))
    batch = batch_of(policy, range(6), 1.0)
    gradients_of(weights, objective, [batch])
    with torch.no_grad():
        for p in policy.parameters():
            p -= 0.02 * p.grad
    told, _ = gradients_of(weights, objective, [batch])
    with torch.no_grad():
        moved = policy(batch)["logprobs"] - batch.streams["old_logprobs"]
    assert (moved * batch.streams["advantages"]).sum() > 0
    assert told["ratio_max"] == pytest.approx(moved.exp().max().item(), rel=1e-4)
    assert told["kl_old"] > 0
